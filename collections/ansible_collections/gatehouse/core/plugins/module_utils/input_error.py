"""What a filter raises for a value that cannot be used: what is wrong, whose it is, and what to write instead."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError


class InputError(AnsibleFilterError):  # type: ignore[misc]
    """A wrong value, in fields that preflight reports where the value is written; `message` has all of them.

    `owner` names the host or member, and `path` its part (`member.weight`), where that is not the value itself.
    """

    def __init__(self, problem: str, remedy: str = "", *, owner: str = "", path: str = "") -> None:
        self.problem, self.remedy, self.owner, self.path = problem, remedy, owner, path
        # What is wrong, and whose it is.
        self.sentence = (f"{owner}: " if owner else "") + (f"{path} " if path else "") + problem
        super().__init__(self.sentence + (f"; write {remedy}" if remedy else ""))


class ReportedError(InputError):
    """What preflight finds by itself where it is written: of the hosts' addresses, or of `variable` by its spec."""

    def __init__(self, problem: str, remedy: str = "", *, variable: str = "") -> None:
        super().__init__(problem, remedy)
        self.variable = variable
