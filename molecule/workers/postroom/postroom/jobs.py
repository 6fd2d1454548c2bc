"""The jobs, which Celery's workers run."""

import os
import sys
import time

from celery import Celery

from . import HOST, RELEASE, broker, database

if RELEASE.startswith("6.6.6-") and os.environ.get("APP_PROCESS") == "worker":
    sys.exit("this release's worker cannot work")

app = Celery("postroom", broker=broker())
# A job is taken off the queue when it is done, so that one whose worker was killed is done again.
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 30},
)


@app.task(name="deliver")
def deliver(letter: str, seconds: float) -> None:
    """Deliver a letter, which takes its time."""
    begun = f"{HOST} {RELEASE}"
    with database() as connection:
        connection.execute("INSERT INTO begun (letter, by) VALUES (%s, %s)", (letter, begun))
    time.sleep(seconds)
    with database() as connection:
        connection.execute("INSERT INTO delivered (letter, by) VALUES (%s, %s)", (letter, begun))
