"""Settings of gunicorn from the unit's environment. Written by Gatehouse: change the python_app_* inputs instead."""

import os

CORES = len(os.sched_getaffinity(0))


def number(name: str, by_cores: int) -> int:
    """Give the number that the inventory wrote, or where it is 0 the one for this host's cores."""
    return int(os.environ[name]) or by_cores


_address = os.environ["APP_ADDRESS"]
bind = f"{f'[{_address}]' if ':' in _address else _address}:{os.environ['APP_PORT']}"

# Two at least, so that one answers while the other starts anew; past eight, memory is what ends first.
workers = number("GUNICORN_WORKERS", min(max(CORES, 2), 8))
# The interpreter's lock lets one thread compute; the others wait for databases and the like. ASGI has none.
threads = number("GUNICORN_THREADS", min(max(2 * CORES, 4), 16))
worker_class = {"wsgi": "gthread", "asgi": "asgi"}[os.environ["GUNICORN_INTERFACE"]]

graceful_timeout = int(os.environ["GUNICORN_GRACEFUL_TIMEOUT"])
# Longer than a proxy keeps an idle connection (nginx: 60 s), so that the proxy is the one that closes it.
keepalive = 75
worker_tmp_dir = "/dev/shm"  # noqa: S108 (gunicorn's own files, made with unguessable names; the disk would stall it)
control_socket_disable = True
