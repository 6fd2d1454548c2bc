"""Kills nginx_tree just before its KILL_AT-th step that something outside the process can see."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

STEPS = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}
seen = 0


def visible(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether a step changes /etc/nginx, starts a command or signals nginx."""
    if event == "open":
        return str(arguments[0]).startswith("/etc/nginx/") and bool(arguments[2] & (os.O_WRONLY | os.O_CREAT))
    if event == "subprocess.Popen":
        return str(arguments[0]).endswith(("nginx", "systemctl"))
    if event == "os.kill":
        return bool(arguments[1] == signal.SIGHUP)
    return event in STEPS and str(arguments[0 if event != "os.symlink" else 1]).startswith("/etc/nginx/")


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Count visible steps; end the process at the chosen one."""
    global seen
    if visible(event, arguments):
        seen += 1
        if seen == int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)


if "KILL_AT" in os.environ:
    sys.addaudithook(watch)
