"""The pages: letters are taken in."""

import time

from flask import Flask, request

from . import HOST, RELEASE, database
from .jobs import deliver

app = Flask(__name__)


@app.get("/")
def front():
    return {"host": HOST, "release": RELEASE}


@app.get("/healthz")
def healthz():
    with database() as connection:
        connection.execute("SELECT 1 FROM delivered LIMIT 1")
    return "well"


@app.get("/slow")
def slow():
    time.sleep(float(request.args["seconds"]))
    return front()


@app.post("/orders/<letter>")
def take_in(letter: str):
    deliver.delay(letter, float(request.args["seconds"]))
    return front()
