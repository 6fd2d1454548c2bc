"""Storefront: a small shop, rendered on the server, that runs behind a reverse proxy.

`create_app()` gives the WSGI application. What it reads from its environment:
    SECRET_KEY    what Flask signs its cookies with; there is no default, so without it the app does not start
    APP_NAME      name of the app as its operators know it (default `storefront`)
    APP_RELEASE   the release that is running; without it, the first line of a file `RELEASE` in the working folder
"""

import json
import os
import socket
import time
from pathlib import Path

from flask import Flask, Response, abort, jsonify, render_template, request

from .assets import Assets

HERE = Path(__file__).parent

LONGEST_WAIT_MS = 5_000
# A page is the same for everyone, so a proxy may keep it; the basket lives in the visitor's browser.
PAGE_CACHE = "public, max-age=60, stale-while-revalidate=30"
CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"


def release() -> str:
    """Give the id of the running release, which only the deployment knows."""
    if value := os.environ.get("APP_RELEASE"):
        return value
    file = Path("RELEASE")
    return file.read_text().split("\n", 1)[0].strip() if file.is_file() else "development"


def load_products(file: Path) -> list[dict]:
    """Read the catalogue, a list of {slug, name, category, price (cents), image, summary, details, stock}."""
    products = json.loads(file.read_text())
    slugs = [product["slug"] for product in products]
    if len(slugs) != len(set(slugs)):
        raise ValueError(f"{file.name}: two products share one slug")
    return products


def create_app() -> Flask:
    """Build the application; everything it serves is in memory when this returns."""
    app = Flask(__name__, static_folder=None)
    app.secret_key = os.environ["SECRET_KEY"]
    app.json.sort_keys = False
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    assets = Assets(HERE / "static", prefix="/static")
    products = load_products(HERE / "data" / "products.json")
    categories = list(dict.fromkeys(product["category"] for product in products))
    identity = {"app": os.environ.get("APP_NAME", "storefront"), "release": release(), "host": socket.gethostname()}

    app.jinja_env.globals.update(asset=assets.url, integrity=assets.integrity, categories=categories)
    app.jinja_env.filters["euros"] = lambda cents: f"€{cents / 100:,.2f}"

    def cacheable(response: Response, policy: str = PAGE_CACHE) -> Response:
        response.headers["Cache-Control"] = policy
        response.add_etag()
        return response.make_conditional(request)

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    @app.get("/healthz")
    def health() -> Response:
        return Response("ok\n", mimetype="text/plain", headers={"Cache-Control": "no-store"})

    @app.get("/api/whoami")
    def whoami() -> Response:
        # `?wait=3000` answers after three seconds, so that a request can be under way while the unit stops.
        time.sleep(min(max(request.args.get("wait", 0, int), 0), LONGEST_WAIT_MS) / 1000)
        response = jsonify(identity)
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/api/products")
    def api_products() -> Response:
        return cacheable(jsonify(products=products))

    @app.get("/")
    def index() -> Response:
        category = request.args.get("category", "")
        if category and category not in categories:
            abort(404)
        shown = [product for product in products if category in ("", product["category"])]
        return cacheable(Response(render_template("index.html", products=shown, category=category)))

    @app.get("/products/<slug>")
    def product(slug: str) -> Response:
        found = next((product for product in products if product["slug"] == slug), None)
        if found is None:
            abort(404)
        others = [other for other in products if other["category"] == found["category"] and other is not found]
        return cacheable(Response(render_template("product.html", product=found, others=others[:3])))

    @app.get("/static/<path:name>")
    def static(name: str) -> Response:
        found = assets.find(name)
        if found is None:
            abort(404)
        response = Response(found.body, mimetype=found.mimetype)
        response.set_etag(found.digest)
        response.headers["Cache-Control"] = found.cache_control
        return response.make_conditional(request, accept_ranges=True, complete_length=len(found.body))

    @app.errorhandler(404)
    def missing(_error: Exception) -> tuple[Response, int]:
        response = Response(render_template("missing.html"), headers={"Cache-Control": "public, max-age=10"})
        return response, 404

    return app
