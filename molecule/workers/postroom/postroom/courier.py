"""A worker of another kind: it says that it is there, again and again, and ends when it is interrupted."""

import sys
import time

from . import HOST, RELEASE, database

try:
    while True:
        with database() as connection:
            connection.execute("INSERT INTO carried (letter, by) VALUES (%s, %s)", (sys.argv[-1], f"{HOST} {RELEASE}"))
        time.sleep(1)
except KeyboardInterrupt:
    with database() as connection:
        connection.execute("INSERT INTO carried (letter, by) VALUES ('ended', %s)", (f"{HOST} {RELEASE}",))
