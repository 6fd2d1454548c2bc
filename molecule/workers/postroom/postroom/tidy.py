"""What the schedule runs."""

from . import HOST, RELEASE, database

with database() as connection:
    connection.execute("INSERT INTO tidied (by) VALUES (%s)", (f"{HOST} {RELEASE}",))
