"""Why a unit's process ended, where a rule of its sandbox is the reason: what a journal says, and what loosens it.

systemd's own messages about a unit stand among what the unit wrote. The numbers are those of systemd.exec(5), "Process
Exit Codes": systemd ends with them itself, before the program runs.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class _Rule(NamedTuple):
    """What a journal has in it, the rule that this shows, and the remedy."""

    pattern: re.Pattern[str]
    rule: str
    remedy: str


_WRITABLE = (
    "it may write below /var/lib/<app_name> (HOME), /var/cache/<app_name> (XDG_CACHE_HOME), /tmp and app_shared_paths;"
    " have it write there, or add the folder to app_writable_paths"
)
_EXECUTABLE_MEMORY = (
    r"write\+execute memory|executable memory|(?i:cannot enable executable stack)|CodeRange|SetPermissions|MemoryChunk"
)
_RESOURCE = r"(?:EAGAIN|[Rr]esource temporarily unavailable)"
_DENIED = r"(?:EPERM|EACCES|[Oo]peration not permitted|[Pp]ermission denied)"
_RULES = [
    _Rule(re.compile(pattern), rule, remedy)
    for pattern, rule, remedy in (
        (
            r"status=203/EXEC",
            "to run the program of app_start_command (203/EXEC): it or its interpreter is missing or not executable",
            "name one that is in the release or comes with app_packages",
        ),
        (
            r"status=226/NAMESPACE",
            "to start the unit, whose view of the file system cannot be made (226/NAMESPACE)",
            "have each folder of app_writable_paths there before the unit starts",
        ),
        (
            r"status=200/CHDIR",
            "to enter the release's folder (200/CHDIR)",
            "let app_user pass through app_root and the folders above it",
        ),
        (
            r"status=228/SECCOMP|status=31/SYS",
            "a system call outside SystemCallFilter= (SIGSYS)",
            "`journalctl -k --grep=audit` on the host has its number; no input allows it",
        ),
        (
            r"status=97/|EAFNOSUPPORT|system error 97\b|Address family not supported",
            "a socket other than IPv4, IPv6, Unix and netlink (RestrictAddressFamilies=, error 97)",
            "have the application use one of these; no input allows another",
        ),
        (
            _EXECUTABLE_MEMORY,
            "memory that is both writable and executable (MemoryDenyWriteExecute=), as just-in-time compilers need it",
            "set app_memory_deny_write_execute: false",
        ),
        (r"EROFS|Read-only file system", "a folder that the unit may not write to (ProtectSystem=strict)", _WRITABLE),
        (r"oom-kill|OOM killer", "more memory than MemoryMax= allows", "raise app_memory_max"),
        (
            rf"can't start new thread|(?:fork|clone|pthread_create).{{0,60}}{_RESOURCE}",
            "more processes and threads than TasksMax= allows",
            "raise app_tasks_max",
        ),
        (r"EMFILE|Too many open files", "more open files than LimitNOFILE= allows", "raise app_files_max"),
        (
            r"(?:ENOSPC|No space left on device).{0,200}/tmp/|/tmp/.{0,200}No space left",
            "a full /tmp, which is the unit's own and in memory",
            "raise app_tmp_max",
        ),
        (
            r"EHOSTUNREACH|No route to host",
            "a connection that app_egress does not name",
            "add the address and port to app_egress",
        ),
        (
            rf"(?i:\b(?:bind|listen)\b).{{0,80}}{_DENIED}|{_DENIED}.{{0,40}}(?i:\b(?:bind|listen)\b)",
            "a port other than app_port (SocketBindDeny=)",
            "have the application listen on APP_ADDRESS and APP_PORT of its environment",
        ),
    )
]


def explain(log: str) -> list[str]:
    """Return a sentence for each rule of the sandbox that a journal shows to be broken: what it is, and the remedy."""
    return [f"The unit's sandbox refuses {one.rule}; {one.remedy}." for one in _RULES if one.pattern.search(log)]
