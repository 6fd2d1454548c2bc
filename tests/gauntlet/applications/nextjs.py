"""Next.js as create-next-app makes it, with its image optimisation."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from browser import Browser
from sources import run
from visitor import Visitor

ENTRY = """\
- name: nextjs
  runtime: node
  version: "{version}"
  port: 3001
  node: {{include: [.next, public, package.json]}}
  shared_paths: [.next/cache]
  web_command: node node_modules/next/dist/bin/next start --hostname $APP_ADDRESS --port $APP_PORT
  health_path: /
"""
LOAD = ("/", "/next.svg")
WITHOUT = ("--ts", "--app", "--no-src-dir", "--no-tailwind", "--use-npm", "--disable-git", "--skip-install",
           "--import-alias", "@/*")  # fmt: skip
FONTS = 'import { GeistSans } from "geist/font/sans";\nimport { GeistMono } from "geist/font/mono";'
PAGE = """\
import Image from "next/image"
import rider from "./rider.png"
export default function Home() {{
  return <main><h1>Version {version}</h1><Image src={{rider}} alt="rider" width={{64}} height={{64}} priority /></main>
}}
"""


def source(folder: Path, version: str) -> None:
    """What create-next-app writes, and a page with a picture."""
    if version == "1.0.0":
        shutil.rmtree(folder)
        run(folder.parent, "npx", "--yes", "create-next-app@16", folder.name, "--yes", *WITHOUT)
        # The fonts of the template are Google's, and a build has no network; these are the same from npm.
        layout = folder / "app" / "layout.tsx"
        text = re.sub(r"import .* from \"next/font/google\";", FONTS, layout.read_text())
        layout.write_text(re.sub(r"(?s)const geist(Sans|Mono) = .*?\}\);\n", "", text).replace("geist", "Geist"))
        run(folder, "npm", "install", "--package-lock-only", "--ignore-scripts", "geist")
        shutil.copy("/usr/share/icons/hicolor/128x128/apps/chromium.png", folder / "app" / "rider.png")
    (folder / "app" / "page.tsx").write_text(PAGE.format(version=version))


def check(visitor: Visitor) -> None:
    """The page in a browser, the picture made smaller for it."""
    with Browser(visitor) as browser:
        browser.open("/")
        assert "Version" in browser.text("h1")
        drawn = browser.run(
            "const i = document.querySelector('img'); return i.decode().then(() => [i.currentSrc, i.naturalWidth])"
        )
    assert "/_next/image?" in drawn[0], drawn
    address = drawn[0].removeprefix("https://nextjs.lab.test")
    picture = visitor.ask(address, Accept="image/webp")
    assert (picture.status, picture.headers["content-type"]) == (200, "image/webp"), picture
