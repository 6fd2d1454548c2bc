"""Wagtail as `wagtail start` makes it, on PostgreSQL: collected static files, uploads, pictures in other sizes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from browser import Browser
from gauntlet_lab import Lab
from sources import lock_python, run
from visitor import Visitor

ENTRY = """\
- name: wagtail
  runtime: python
  version: "{version}"
  port: 8002
  python: {{target: "mysite.wsgi:application"}}
  environment: {{DJANGO_SETTINGS_MODULE: mysite.settings.production}}
  secrets: {{SECRET_KEY: "{{{{ environment_passphrase }}}}", DATABASE_PASSWORD: "{{{{ database_password }}}}"}}
  egress: [{{name: database, to: [10.64.0.31], ports: [5432]}}]
  build_commands: [[bin/python, manage.py, collectstatic, --no-input, --settings, mysite.settings.production]]
  health_path: /
  tls_endpoint: {{locations: [{{path: /static/, static: {{dir: /srv/wagtail/current/static}}}},
                             {{path: /media/, static: {{dir: /var/lib/wagtail/media}}}}]}}
"""
LOAD = ("/", "/admin/login/")
# The file that the project's own settings read last, and the environment, as Django's manual has it.
LOCAL = """\
import os

SECRET_KEY = os.environ.get("SECRET_KEY", "of-the-build")
ALLOWED_HOSTS = ["wagtail.lab.test"]
CSRF_TRUSTED_ORIGINS = ["https://wagtail.lab.test"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
WAGTAILADMIN_BASE_URL = "https://wagtail.lab.test"
MEDIA_ROOT = os.environ.get("STATE_DIRECTORY", "") + "/media"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "10.64.0.31", "NAME": "gauntlet",
                         "USER": "gauntlet", "PASSWORD": os.environ.get("DATABASE_PASSWORD")}}
"""


def source(folder: Path, version: str) -> None:
    """What the first page of Wagtail's manual has one type, and a Procfile as platforms read it."""
    if version == "1.0.0":
        shutil.rmtree(folder)
        folder.mkdir()
        run(folder, "uv", "run", "--no-project", "--with", "wagtail", "wagtail", "start", "mysite", ".")
        (folder / "mysite" / "settings" / "local.py").write_text(LOCAL)
        (folder / "Procfile").write_text("release: python manage.py migrate --no-input\n")
        own = (folder / "requirements.txt").read_text().split()
        lock_python(folder, *own, "gunicorn", "psycopg[binary]")
    page = folder / "home" / "templates" / "home" / "welcome_page.html"
    page.write_text(re.sub(r"(<h1>).*?(</h1>)", rf"\1Version {version}\2", page.read_text(), count=1, flags=re.S))


def prepare(lab: Lab) -> None:
    """Make an editor, by a command in the release."""
    user = ("--username", "hob", "--email", "hob@lab.test")
    environment = "DJANGO_SUPERUSER_PASSWORD=gate"
    lab.command("wagtail", "env", environment, "bin/python", "manage.py", "createsuperuser", "--no-input", *user)


def check(visitor: Visitor) -> None:
    """Log in, upload a picture, and see it as Wagtail made it smaller."""
    assert "<h1>Version" in visitor.ask("/").text
    with Browser(visitor) as browser:
        browser.open("/admin/")
        browser.type("[name=username]", "hob")
        browser.type("[name=password]", "gate")
        browser.click("[type=submit]")
        browser.wait_for(".w-dashboard, #main .summary, [data-side-panel], .sidebar", 60)
        browser.open("/admin/images/add/")
        browser.type("input[type=file]", "/usr/share/icons/hicolor/128x128/apps/chromium.png")
        browser.type("[name=title]", "rider")
        browser.click("form[enctype] [type=submit], form .actions [type=submit]")
        browser.wait_for(".messages, .w-messages, [data-images-index]", 30)
        browser.open("/admin/images/")
        address = browser.run("return document.querySelector('img[src*=\"/media/\"]').src")
        styles = browser.run("return document.querySelector('link[rel=stylesheet]').href")
    for found, kind in ((address, "image/png"), (styles, "text/css")):
        answer = visitor.ask(found.removeprefix("https://wagtail.lab.test"))
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kind), (found, answer.status)
