"""A post room: letters are taken in over HTTP, and delivered by background jobs, each of them exactly once."""

import os
import socket

import psycopg

HOST = socket.gethostname()
RELEASE = os.environ.get("APP_RELEASE", "")


def database() -> psycopg.Connection:
    """Connect to the database; each statement is a transaction."""
    return psycopg.connect(
        host=os.environ["DATABASE_HOST"],
        dbname="postroom",
        user="postroom",
        password=os.environ["DATABASE_PASSWORD"],
        connect_timeout=5,
        autocommit=True,
    )


def broker() -> str:
    """Return where Redis is."""
    return f"redis://:{os.environ['REDIS_PASSWORD']}@{os.environ['REDIS_HOST']}:6379/0"
