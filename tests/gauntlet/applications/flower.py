"""Flower before a Celery application and its worker, on Redis."""

from __future__ import annotations

import json
import time
from pathlib import Path

from browser import Browser
from sources import lock_python
from visitor import Visitor

ENTRY = """\
- name: flower
  runtime: python
  version: "{version}"
  port: 5555
  web_command: celery --app jobs flower --address=$APP_ADDRESS --port=$APP_PORT
  processes: [{{name: worker, command: celery --app jobs worker --events --concurrency 2}}]
  environment: {{FLOWER_UNAUTHENTICATED_API: "true"}}
  secrets: {{BROKER: "redis://:{{{{ redis_password }}}}@10.64.0.31/0"}}
  egress: [{{name: broker, to: [10.64.0.31], ports: [6379]}}]
  health_path: /healthcheck
"""
LOAD = ("/", "/healthcheck", "/workers")
JOBS = """\
import os

from celery import Celery

app = Celery("jobs", broker=os.environ["BROKER"], backend=os.environ["BROKER"])


@app.task
def ride(horse):
    return f"{horse} rode with VERSION"
"""


def source(folder: Path, version: str) -> None:
    """One file, as the first page of Celery's manual has it."""
    if version == "1.0.0":
        lock_python(folder, "celery[redis]", "flower")
    (folder / "jobs.py").write_text(JOBS.replace("VERSION", version))


def check(visitor: Visitor) -> None:
    """A job is done by the worker, and Flower's page shows it."""
    asked = visitor.ask("/api/task/async-apply/jobs.ride", "POST", json.dumps({"args": ["Hob"]}).encode())
    assert asked.status == 200, asked
    task = json.loads(asked.text)["task-id"]
    until = time.monotonic() + 60
    while (result := json.loads(visitor.ask(f"/api/task/result/{task}").text))["state"] != "SUCCESS":
        assert time.monotonic() < until, result
        time.sleep(1)
    assert result["result"].startswith("Hob rode with"), result
    with Browser(visitor) as browser:
        browser.open("/tasks")
        browser.wait_for("#tasks-table a[href*='/task/']", 60)
