"""A host of which every item of the audit passes, for tests that break one thing."""

from __future__ import annotations

import copy
from typing import Any

NOW = 1_795_953_600.0  # 2026-11-29 12:00 UTC
CLEAN = {"core": "0", "started": NOW - 1000}
NGINX = """# configuration file /etc/nginx/nginx.conf:
user www-data;
pid /run/nginx.pid;
worker_rlimit_core 0;
error_log /var/log/nginx/error.log info;
load_module modules/ngx_http_js_module.so;
http {
    include active/http/*.conf;
    include active/sites/*.conf;
}

# configuration file /etc/nginx/active/http/base.conf:
js_import main from active/http/main.js;
server_tokens off;
gzip off;
keepalive_timeout 10s;
send_timeout 10s;
client_header_timeout 10s;
client_body_timeout 10s;
client_max_body_size 10m;
large_client_header_buffers 4 8k;
limit_conn_zone $binary_remote_addr zone=conns:1m;
limit_conn conns 100;
limit_req_zone $binary_remote_addr zone=rate:1m rate=100r/s;
limit_req zone=rate burst=200;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305;
ssl_session_ticket_key /etc/ssl/gatehouse/tickets.key;
http2 on;
log_format whole '$time_iso8601 $remote_addr $request $status $http_user_agent';
access_log /var/log/nginx/access.log whole;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Real-IP $remote_addr;
proxy_hide_header X-Powered-By;
map $request_method $beyond { default 1; GET ""; HEAD ""; }
map $https $hsts { default ""; on "max-age=63072000"; }
map $upstream_http_x_frame_options $frames { default ""; "" SAMEORIGIN; }
upstream shop { server 10.0.0.5:443; }
server {
    listen *:80 default_server;
    listen *:443 ssl default_server;
    server_name "";
    ssl_reject_handshake on;
    return 444;
}

# configuration file /etc/nginx/active/sites/shop.conf:
server {
    listen *:80;
    server_name shop.example.com;
    return 308 https://$host$request_uri;
}
server {
    listen *:443 ssl;
    server_name shop.example.com;
    ssl_certificate /etc/ssl/gatehouse/shop/fullchain.pem;
    ssl_certificate_key /etc/ssl/gatehouse/shop/privkey.pem;
    error_page 400 403 404 405 413 414 429 500 502 503 504 /error.html;
    add_header Strict-Transport-Security $hsts always;
    add_header X-Frame-Options $frames always;
    add_header X-Content-Type-Options nosniff always;
    add_header Content-Security-Policy "default-src 'self'" always;
    add_header Referrer-Policy no-referrer always;
    add_header Cross-Origin-Opener-Policy same-origin always;
    add_header Cross-Origin-Resource-Policy same-site always;
    location / {
        if ($beyond) { return 405; }
        proxy_ssl_verify on;
        proxy_ssl_certificate /etc/ssl/gatehouse/upstreams/fullchain.pem;
        proxy_pass https://shop;
    }
    location = /.gatehouse/csp-reports {
        if ($request_method != POST) { return 405; }
        proxy_set_header Host csp-reports;
        proxy_pass http://unix:/run/nginx-identity.sock:/;
    }
    location /files/ {
        root /srv;
        location ~ "/[.](?!well-known/)" { return 404; }
    }
}
"""
ROTATION = "/var/log/nginx/*.log {\n    daily\n    rotate 14\n}\n"


def _file(path: str, mode: int, **more: Any) -> dict[str, Any]:
    return {
        "path": path,
        "kind": "file",
        "mode": mode,
        "owner": "root",
        "group": "root",
        "modified": NOW - 2000,
        **more,
    }


FACTS: dict[str, Any] = {
    "clock": NOW,
    "nginx": {
        "installed": True, "configuration": NGINX, "error": "", "active": "0003-1a", "served": "0003-1a",
        "processes": [{"pid": 7, "user": "root", **CLEAN}, {"pid": 8, "user": "www-data", **CLEAN}],
        "files": {
            "keys": [_file(f"/etc/ssl/gatehouse/{name}", 0o600) for name in ("shop/privkey.pem", "tickets.key")],
            "secrets": [_file("/etc/nginx/active/secrets/users", 0o640, group="www-data")],
            "logs": [_file("/var/log/nginx/access.log", 0o640, group="adm")],
            "certificates": [
                _file("/etc/ssl/gatehouse/shop/fullchain.pem", 0o644, ends="2027-02-27 12:00:00Z", ocsp="", count=2)
            ],
            "pid": [_file("/run/nginx.pid", 0o644)],
            "configuration": [_file("/etc/nginx/active/sites/shop.conf", 0o644)],
        },
    },
    "loose": [],
    "forwarders": ["vector"],
    "accounts": [{"name": "www-data", "uid": 33, "shell": "/usr/sbin/nologin", "locked": True, "groups": []}],
    "units": [{"name": "nginx.service", "exposure": 4.2, "state": "active", "user": "", "core": "0"}],
    "sockets": [
        {"protocol": "tcp", "address": "10.0.0.1", "port": 443, "process": "nginx"},
        {"protocol": "tcp", "address": "127.0.0.1", "port": 5000, "process": "gunicorn"},
    ],
    "rotation": {"files": {"/etc/logrotate.d/nginx": ROTATION}, "runs": True},
    "packages": [
        {"name": "nginx", "installed": "1.26.3-3", "candidate": "1.26.3-3", "sources": ["http://deb trixie/main"]}
    ],
    "releases": {"http://deb trixie/main": "Debian"},
    "unchecked": [],
}  # fmt: skip
SERVICES = [{"port": 443}]


def facts(old: str = "", new: str = "", **changes: Any) -> dict[str, Any]:
    """Return the host with one place of its configuration replaced, and with facts in place of others."""
    host = copy.deepcopy(FACTS) | changes
    if old:
        assert NGINX.count(old) == 1, f"{old!r} is {NGINX.count(old)} times in the configuration"
        host["nginx"]["configuration"] = NGINX.replace(old, new)
    return host
