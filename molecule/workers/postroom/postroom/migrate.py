"""Bring the database up to this release."""

from . import database

with database() as connection:
    for table in ("begun", "delivered", "tidied", "carried"):
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (letter text, by text, at timestamptz NOT NULL DEFAULT now())"
        )
