"""The pages of the four frameworks, as a visitor's browser shows them through the proxy."""

from __future__ import annotations

import json
import re

import pytest

from estate import Ask, Estate

from .browser import Browser

APPS = ("storefront", "dashboard", "guestbook", "tickets")
# What each page says only when its own part of the work was done: a template, a script, a database.
TEXTS = {
    "storefront": ("Everything for a house with a gate.", "12 things"),
    "dashboard": ("Who answered?", "Held by dashboard1"),
    "guestbook": ("The visitors' book", "My horse agrees.", "Rails 7.2"),
    "tickets": ("Tickets", "Hob and forty sheep", "Laravel 10"),
}


@pytest.mark.parametrize("app", APPS)
def test_a_page_is_whole_in_a_browser(browser: Browser, estate: Estate, ask: Ask, app: str) -> None:
    page = browser.visit(f"{app}.lab.test")
    for text in TEXTS[app]:
        assert text in page.text
    release = json.loads(ask(f"https://{app}.lab.test/api/whoami").body)["release"]
    assert release.startswith("1.0.0-")
    # Each page names host and release: the dashboard and the shop by a script that asked for them.
    assert f"{app}1" in page.text
    assert release in page.text
    # A page without its style sheet is white.
    assert page.corner != (255, 255, 255)


def test_a_script_that_cannot_ask_shows(browser: Browser) -> None:
    missing = browser.visit("storefront.lab.test", "/products/no-such-thing")
    assert "There is a wall where you expected a gate." in missing.text
    assert "Everything for the house" not in missing.text


def token(body: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]+)"', body) or re.search(
        rf'value="([^"]+)"[^>]*name="{name}"', body
    )
    assert found, body[:500]
    return found[1]


def fields(form: dict[str, str]) -> list[str]:
    """Return curl's options that send a form."""
    return [word for name, value in form.items() for word in ("--data-urlencode", f"{name}={value}")]


@pytest.mark.parametrize(
    ("app", "path", "field", "form", "said"),
    [
        (
            "guestbook", "/entries", "authenticity_token",
            {"entry[name]": "Ann", "entry[origin]": "the test", "entry[words]": "Well kept."},
            ("Thank you, Ann.", "Well kept."),
        ),
        ("tickets", "/tickets", "_token", {"name": "Ann", "kind": "cart"}, ("4 pence from Ann.", "<td>Ann</td>")),
    ],
)  # fmt: skip
def test_what_a_visitor_writes_is_kept(
    ask: Ask, app: str, path: str, field: str, form: dict[str, str], said: tuple[str, ...]
) -> None:
    """The session's cookie is for HTTPS only, and the way back leads to HTTPS: the framework knows how it was asked."""
    url, jar = f"https://{app}.lab.test", f"/tmp/{app}.jar"  # noqa: S108 (on the client of a lab)
    cookies = ("--cookie", jar, "--cookie-jar", jar)
    page = ask(f"{url}/", *cookies)
    taken = ask(f"{url}{path}", *cookies, *fields({**form, field: token(page.body, field)}))
    assert taken.status in (302, 303), taken.body[:500]
    assert taken.headers["location"] in ("/", f"{url}/", url)
    after = ask(f"{url}/", *cookies)
    for words in said:
        assert words in after.body
    # Without the token nothing is written.
    refused = ask(f"{url}{path}", *fields(form))
    assert refused.status in (419, 422)


@pytest.mark.parametrize(
    ("app", "path", "kind"),
    [
        ("tickets", "/tickets.css", "text/css; charset=utf-8"),
        ("tickets", "/bar.svg", "image/svg+xml; charset=utf-8"),
    ],
)
def test_public_files_are_the_local_nginxs_to_serve(ask: Ask, estate: Estate, app: str, path: str, kind: str) -> None:
    answer = ask(f"https://{app}.lab.test{path}")
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == "no-cache"
    again = ask(f"https://{app}.lab.test{path}", f"-HIf-None-Match: {answer.headers['etag']}")
    assert again.status == 304
    # With php-fpm at rest, they are served all the same, and nothing else is.
    host = estate.host(f"{app}1")
    host.check_output(f"systemctl stop {app}")
    try:
        assert ask(f"https://{app}.lab.test{path}").status == 200
        assert ask(f"https://{app}.lab.test/").status == 502
    finally:
        host.check_output(f"systemctl start {app} && until [ -S /run/{app}/fastcgi.sock ]; do sleep 0.1; done")


@pytest.mark.parametrize("path", ["/index.php", "/composer.json", "/../artisan", "/.env", "/bin/php-fpm.conf"])
def test_nobody_reads_what_is_behind_the_front_controller(ask: Ask, path: str) -> None:
    answer = ask(f"https://tickets.lab.test{path}", "--path-as-is")
    assert answer.status in (200, 400, 404)
    assert answer.status != 200 or "<h1>Tickets</h1>" in answer.body
    for text in ("<?php", "Illuminate", "gatehouse/tickets", "pm.max_children"):
        assert text not in answer.body


def test_assets_have_names_of_their_content_and_may_be_kept(ask: Ask) -> None:
    page = ask("https://guestbook.lab.test/").body
    sheet = re.search(r'href="(/assets/book-[0-9a-f]{8,}\.css)"', page)
    assert sheet, page[:500]
    first, second = (ask(f"https://guestbook.lab.test{sheet[1]}") for _ in range(2))
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert second.headers["x-cache-status"] == "HIT"
