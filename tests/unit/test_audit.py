"""Each item of the audit: a host on which all pass, and one thing broken."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.audit import page, report, table
from ansible_collections.gatehouse.core.plugins.module_utils.audit.host import seconds
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_config import ConfigError, parse_dump

sys.path.append(str(Path(__file__).parent))
from audit_host import FACTS, NGINX, NOW, SERVICES, facts

Facts = dict[str, Any]
WHEN = "2026-11-29T12:00:00+00:00"


def document(host: Facts, *waivers: Any, name: str = "proxy1") -> dict[str, Any]:
    found: dict[str, Any] = report.audit_document({name: {"host": host, "services": SERVICES}}, waivers, "prod", WHEN)
    return found


def failing(host: Facts) -> dict[str, str]:
    """Return {item: why} of what fails, waived by the project itself or not."""
    return {
        row["item"]: row["why"] for row in document(host)["hosts"][0]["items"] if row["result"] in ("fail", "waived")
    }


def changed(*path: Any, to: Any) -> Facts:
    """Return the host with one fact replaced; a function makes the new one of the old."""
    host: Facts = copy.deepcopy(FACTS)
    place: Any = host
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to(place[path[-1]]) if callable(to) else to
    return host


def more(entry: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda found: [*found, entry]


LOOSE = {"path": "/etc/nginx/x", "kind": "file", "mode": 0o644, "owner": "ann", "group": "ann", "modified": 0.0}
# (what is broken, the items that then fail, and words of why)
BROKEN: list[tuple[Facts, str, str]] = [
    (changed("packages", 0, "sources", to=["http://other x"]), "packages_origin", "not from Debian"),
    (changed("unchecked", to=["/etc/apt/sources.list:3"]), "packages_origin", "without a signature"),
    (changed("packages", 0, "candidate", to="1.26.3-4"), "packages_current", "1.26.3-4 is there"),
    (facts("js_import main from active/http/main.js;", ""), "modules", "js is loaded, and nothing uses it"),
    (facts("root /srv;", "root /srv; dav_methods PUT;"), "webdav", "dav_methods lets visitors write"),
    (facts("gzip off;", "gzip on;"), "compression", "gzip is on"),
    (facts("root /srv;", "root /srv; autoindex on;"), "autoindex", "lists a folder's files"),
    (facts("user www-data;", "user root;"), "worker_account", "the workers are root"),
    (changed("accounts", 0, "groups", to=["shadow"]), "worker_account", "is in the group shadow"),
    (changed("accounts", 0, "locked", to=False), "account_password", "has a password"),
    (changed("accounts", 0, "shell", to="/bin/bash"), "account_shell", "has the shell /bin/bash"),
    (changed("units", 0, "exposure", to=9.6), "units", "its score is 9.6"),
    (changed("sockets", to=more({"protocol": "tcp", "address": "10.0.0.1", "port": 8080, "process": "python3"})),
     "ports", "python3 listens, and the inventory names no such service"),
    (changed("loose", to=[LOOSE]), "files_owner", "belongs to ann"),
    (changed("loose", to=[{**LOOSE, "owner": "root", "mode": 0o666}]), "files_access", "0666 root:ann"),
    (changed("nginx", "files", "secrets", 0, "mode", to=0o644), "files_access", "may be read by others"),
    (changed("nginx", "files", "pid", 0, "owner", to="www-data"), "pid_file", "root's alone to write"),
    (changed("nginx", "processes", 0, "core", to="unlimited"), "core_dumps", "may write a core dump"),
    (changed("units", 0, "core", to="infinity"), "core_dumps", "may write a core dump"),
    (facts("worker_rlimit_core 0;", "worker_rlimit_core 1g;"), "core_dumps", "worker_rlimit_core is 1g"),
    (changed("nginx", "files", "keys", 0, "mode", to=0o644), "keys", "chmod 0600"),
    (changed("nginx", "files", "logs", 0, "mode", to=0o644), "log_access", "may be read by anybody"),
    (facts("$http_user_agent", ""), "log_details", "lacks the browser"),
    (facts("access_log /var/log/nginx/access.log whole;", "access_log off;"), "access_log", "are not logged"),
    (facts("error.log info;", "error.log crit;"), "error_log", "errors are lost"),
    (facts("error.log info;", "error.log;"), "error_log", "the level is error"),
    (changed("rotation", "files", "/etc/logrotate.d/nginx", to="/var/log/nginx/*.log {\nweekly\nrotate 1\n}"),
     "log_rotation", "kept for 7 days"),
    (changed("forwarders", to=[]), "remote_log", "nothing sends nginx's logs"),
    (changed("rotation", "files", to={}), "log_rotation", "no file names"),
    (changed("rotation", "runs", to=False), "log_rotation", "nothing runs logrotate"),
    (changed("nginx", "served", to="0002-9f"), "configuration", "0002-9f runs, 0003-1a is linked"),
    (changed("nginx", "files", "configuration", 0, "modified", to=NOW), "configuration", "changed after nginx read it"),
    (facts("return 444;", ""), "unknown_names", "answers every name"),
    (facts("keepalive_timeout 10s;", "keepalive_timeout 65;"), "keepalive_timeout", "is 65"),
    (facts("send_timeout 10s;", ""), "send_timeout", "is 60s"),
    (facts("server_tokens off;", ""), "server_tokens", "server_tokens is on"),
    (facts("error_page 400 403 404", "error_page 400 403"), "error_pages", "answers 404"),
    (facts('location ~ "/[.](?!well-known/)" { return 404; }', ""), "hidden_files", "begin with a dot"),
    (facts("proxy_hide_header X-Powered-By;", ""), "product_headers", "X-Powered-By"),
    (facts("proxy_set_header X-Real-IP $remote_addr;", ""), "source_address", "does not get X-Real-IP"),
    (facts("if ($beyond) { return 405; }", ""), "methods", "any method is passed on"),
    (facts("client_body_timeout 10s;", "client_body_timeout 2m;"), "read_timeouts", "client_body_timeout is 2m"),
    (facts("client_max_body_size 10m;", ""), "body_size", "is not said"),
    (facts("root /srv;", "root /srv; client_max_body_size 0;"), "body_size", "a body may have any size"),
    (facts("large_client_header_buffers 4 8k;", ""), "header_buffers", "is not said"),
    (facts("limit_conn conns 100;", ""), "connections", "any number"),
    (facts("limit_req_zone $binary_remote_addr", "limit_req_zone $server_name"), "request_rate", "any number"),
    (facts('on "max-age=63072000"', 'on "max-age=60"'), "hsts", "Strict-Transport-Security is $hsts"),
    (facts('"" SAMEORIGIN', '"" ""'), "frame_options", "X-Frame-Options is $frames"),
    (facts("add_header X-Content-Type-Options nosniff always;", ""), "content_type_options", "is missing"),
    (facts("add_header Content-Security-Policy", "add_header Content-Security-Policy-Report-Only"),
     "content_security_policy", "is missing"),
    (facts("add_header Referrer-Policy no-referrer always;", ""), "referrer_policy", "is missing"),
    (facts("add_header Cross-Origin-Opener-Policy same-origin always;", ""), "cross_origin", "Policy is missing"),
    (facts("return 308 https://$host$request_uri;", "root /srv/none;"), "https_redirect", "answers in plaintext"),
    (changed("nginx", "files", "certificates", 0, "ends", to="2026-12-01 12:00:00Z"), "certificates", "ends on"),
    (facts("ssl_protocols TLSv1.2", "ssl_protocols TLSv1.1 TLSv1.2"), "tls_versions", "takes TLSv1.1"),
    (facts("ECDHE-ECDSA-AES128-GCM-SHA256:", "AES128-SHA:"), "tls_ciphers", "takes AES128-SHA"),
    (facts("ECDHE-ECDSA-AES128-GCM-SHA256:", "DHE-RSA-AES128-GCM-SHA256:"), "dh_parameters", "ssl_dhparam is missing"),
    (changed("nginx", "files", "certificates", 0, "ocsp", to="http://o.example"), "ocsp_stapling", "stapling is off"),
    (changed("nginx", "files", "keys", 1, "modified", to=NOW - 200000), "session_tickets", "older than 48 hours"),
    (facts("ssl_session_ticket_key /etc/ssl/gatehouse/tickets.key;", ""), "session_tickets", "as long as nginx"),
    (facts("http2 on;", ""), "http2", "HTTP/2 is off"),
    (facts("proxy_ssl_verify on;", ""), "upstream_verified", "is not verified"),
    (facts("proxy_ssl_certificate /etc/ssl/gatehouse/upstreams/fullchain.pem;", ""), "upstream_client", "certificate"),
]  # fmt: skip
# What follows from the same break.
ANSWERS = {
    "error_pages", "hidden_files", "frame_options", "content_type_options", "content_security_policy",
    "referrer_policy", "cross_origin",
}  # fmt: skip
TOO = {
    "dh_parameters": {"tls_ciphers"},
    "https_redirect": ANSWERS,
    "unknown_names": {*ANSWERS, "hsts", "https_redirect"},
}


def test_all_items_pass_on_a_hardened_host() -> None:
    assert failing(facts()) == {}


@pytest.mark.parametrize(("host", "item", "why"), BROKEN, ids=[f"{item}-{why[:20]}" for _, item, why in BROKEN])
def test_a_break_fails_its_item(host: Facts, item: str, why: str) -> None:
    found = failing(host)
    assert why in found[item]
    assert set(found) - {item} <= TOO.get(item, set())


def test_every_item_is_broken_by_a_test() -> None:
    assert {item.name for item in report.ITEMS} == {item for _, item, _ in BROKEN}


def test_an_endpoint_is_not_asked_what_its_proxies_do() -> None:
    host = facts("    ssl_certificate /etc", "    ssl_verify_client on;\n    ssl_certificate /etc")
    rows = {row["item"]: row for row in document(host)["hosts"][0]["items"]}
    assert rows["content_security_policy"]["result"] == "not applicable"
    assert "only the proxies" in rows["methods"]["why"]


def test_a_waiver_lasts_until_its_day() -> None:
    broken = facts("server_tokens off;", "")
    waiver = {"item": "server_tokens", "reason": "an old monitor reads it", "until": "2026-11-29", "hosts": []}
    assert document(broken, waiver)["problems"] == []
    ended = document(broken, {**waiver, "until": "2026-11-28"})
    assert ended["problems"] == ["proxy1: server_tokens: server_tokens is on; the waiver ended on 2026-11-28"]
    other = document(broken, {**waiver, "hosts": ["proxy2"]})
    assert len(other["problems"]) == 1
    assert other["unneeded_waivers"] == ["server_tokens"]


def test_the_projects_own_failures_say_why() -> None:
    row = next(
        row for row in document(facts("gzip off;", "gzip on;"))["hosts"][0]["items"] if row["item"] == "compression"
    )
    assert (row["result"], row["waiver"]["by"]) == ("waived", "Gatehouse")
    assert "BREACH" in row["waiver"]["reason"]


def test_a_host_that_cannot_be_read_is_a_failure() -> None:
    gone = report.audit_document({"proxy1": {"msg": "timed out"}}, [], "prod", WHEN)
    assert gone["problems"] == ["proxy1: timed out"]
    broken = document(changed("nginx", "error", to="[emerg] unknown directive"))
    assert any("cannot be read" in problem for problem in broken["problems"])


def test_the_table_has_like_hosts_together_and_the_page_escapes() -> None:
    read = {name: {"host": facts("server_tokens off;", ""), "services": SERVICES} for name in ("proxy1", "proxy2")}
    found = report.audit_document(read, [], "<prod>", WHEN)
    lines = [line["text"] for line in table.audit_table(found)]
    assert next(line for line in lines if line.startswith("proxy")).startswith("proxy1, proxy2: ")
    assert lines[-1] == "2 failures without a waiver"
    assert max(len(line) for line in lines) <= 100
    assert "<prod>" not in page.audit_page(found)
    assert "proxy1: server_tokens: server_tokens is on" in page.audit_page(found)
    json.dumps(found)


@pytest.mark.parametrize(
    ("waiver", "path", "problem", "remedy"),
    [
        ({"item": "server_token"}, "item", "server_token is no item of the audit", "write server_tokens"),
        ({"reason": " "}, "reason", "is empty", "write why this may fail"),
        ({"hosts": ["proxy9"]}, "hosts.0", "proxy9 is no host of the inventory", "write proxy1"),
        (
            {"until": "2026-11-28"},
            "until",
            "ended on 2026-11-28, so the audit counts the failure",
            "take the waiver away",
        ),
    ],
)
def test_a_wrong_waiver_is_a_problem(waiver: dict[str, Any], path: str, problem: str, remedy: str) -> None:
    whole = {"item": "server_tokens", "reason": "why", "until": "2026-11-29", "hosts": [], **waiver}
    found = list(report.waiver_problems([whole], ["proxy1"], "2026-11-29"))
    assert [(".".join(map(str, one["path"])), one["problem"]) for one in found] == [
        (f"audit_waivers.0.{path}", problem)
    ]
    assert found[0]["remedy"].startswith(remedy)
    assert list(report.waiver_problems([{**whole, **dict.fromkeys(waiver)}], ["proxy1"], "2026-11-29")) == []


def test_nginx_times_are_seconds() -> None:
    assert [seconds(text) for text in ("75", "10s", "1m", "1h 30m", "500ms", "0")] == [75, 10, 60, 5400, 0.5, 0]


def test_a_configuration_is_read_as_nginx_does() -> None:
    dump = '# configuration file /etc/nginx/nginx.conf:\nhttp { map $a $b { "~^a{2};\\"" "x y"; } include a/*.conf; }\n'
    dump += "# configuration file /etc/nginx/a/one.conf:\nserver { # comment }\n  return 444; }\n"
    http = next(parse_dump(dump).all("http"))
    assert next(http.all("map")).block[0].name == '~^a{2};"'
    assert next(http.all("server")).block[0].place == "/etc/nginx/a/one.conf:2"
    for text in ("", dump.replace("return 444; }", "return 444;"), dump.replace("http {", "} http {")):
        with pytest.raises(ConfigError):
            parse_dump(text)
    assert parse_dump(NGINX)
