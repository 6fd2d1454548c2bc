"""Rails as `rails new` and a scaffold make it, with Debian's gems."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

from browser import Browser
from gauntlet_lab import Lab
from visitor import Visitor

ENTRY = """\
- name: rails
  runtime: rails
  version: "{version}"
  port: 3002
  environment: {{DATABASE_URL: "sqlite3:storage/production.sqlite3"}}
  secrets: {{RAILS_MASTER_KEY: "{{{{ lookup('ansible.builtin.file', app_source ~ '.master') }}}}"}}
  health_path: /up
"""
LOAD = ("/up", "/horses")
# On a host of the lab, because the controller need not have Ruby.
MAKE = """\
export BUNDLE_WITHOUT=development:test RAILS_ENV=production SECRET_KEY_BASE_DUMMY=1
apt-get install -qy --no-install-recommends rails ruby-rails-propshaft puma ruby-sqlite3 bundler >&2 &&
cd /tmp && rm -rf stable && rails new stable --asset-pipeline=propshaft --skip-bundle --skip-git --skip-javascript \
  --skip-bootsnap --skip-test --skip-jbuilder --skip-rubocop --skip-brakeman --skip-ci --skip-docker >&2 &&
cd stable && bundle install --local >&2 && bin/rails generate scaffold horse name:string >&2 && tar c .
"""


def source(folder: Path, version: str) -> None:
    """Only the version; `make` has made the rest."""
    (folder / "public" / "version.txt").write_text(version)


def make(folder: Path, lab: Lab) -> None:
    """Have Debian's Rails write the application."""
    with tarfile.open(fileobj=io.BytesIO(lab.run("app1", MAKE))) as written:
        written.extractall(folder, filter="data")
    key = folder / "config" / "master.key"
    Path(f"{folder}.master").write_text(key.read_text())
    key.unlink()


def check(visitor: Visitor) -> None:
    """Add a row by the form of the page, and see the style sheet."""
    with Browser(visitor) as browser:
        browser.open("/horses/new")
        browser.type("[name='horse[name]']", "Hob")
        browser.click("[type=submit]")
        assert "Hob" in browser.text("[id^=horse_]")
        assert re.fullmatch(r"https://rails\.lab\.test/horses/\d+", browser.run("return location.href"))
        styles = browser.run("return document.querySelector('link[rel=stylesheet]').href")
    answer = visitor.ask(styles.removeprefix("https://rails.lab.test"))
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/css"), answer
