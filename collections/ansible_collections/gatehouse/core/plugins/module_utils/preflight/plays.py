"""Which roles a play runs, read from its parsed YAML: so that preflight knows who needs which variable.

Pure functions over parsed YAML. A role that is reached in a way other than `roles:`, `import_role`,
`include_role` and `meta/main.yml` dependencies is not seen, and then nothing is demanded for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ROLE_TASKS = {f"{prefix}{verb}_role" for prefix in ("", "ansible.builtin.") for verb in ("import", "include")}
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook")
_TASK_LISTS = ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always")


def task_roles(tasks: Any) -> list[dict[str, Any]]:
    """Return the roles that a task list names, blocks included: [{name, vars: [names given there], sure}].

    `sure` is false where a `when` may leave the role out.
    """
    found: list[dict[str, Any]] = []
    for task in tasks if isinstance(tasks, list) else ():
        if not isinstance(task, Mapping):
            continue
        for key, value in task.items():
            about = value if key in _ROLE_TASKS and isinstance(value, Mapping) else {}
            name = about.get("name")
            # A role's preflight alone looks at a host, and does nothing with the role's inputs.
            if isinstance(name, str) and about.get("tasks_from") != "preflight.yml":
                found.append(
                    {
                        "name": name,
                        "vars": [str(one) for one in task.get("vars") or {}],
                        "sure": "when" not in task,
                    }
                )
            elif key in _TASK_LISTS:
                given = [str(one) for one in task.get("vars") or {}]
                found += [
                    {**role, "vars": role["vars"] + given, "sure": role["sure"] and "when" not in task}
                    for role in task_roles(value)
                ]
    return found


def _listed_roles(roles: Any) -> Iterator[dict[str, Any]]:
    """Yield the entries of `roles:`, or of `dependencies:`; each is a name, or a mapping with parameters."""
    for entry in roles if isinstance(roles, list) else ():
        if isinstance(entry, str):
            yield {"name": entry, "vars": [], "sure": True}
        elif isinstance(entry, Mapping) and isinstance(name := entry.get("role", entry.get("name")), str):
            given = [str(key) for key in (*entry, *(entry.get("vars") or {}))]
            yield {"name": name, "vars": given, "sure": "when" not in entry}


def included_roles(meta: Any, tasks: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the roles that a role brings along, in the same shape.

    `meta`: its parsed meta/main.yml; `tasks`: its parsed task files. What a task brings without a `when` is sure.
    """
    depends = _listed_roles(meta.get("dependencies") if isinstance(meta, Mapping) else None)
    return [*depends, *(role for one in tasks for role in task_roles(one))]


def role_needs(
    plays: Sequence[Mapping[str, Any]], brings: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Return which plays need which roles: [{role, pattern, sure, given: [variables that the play gives]}].

    `plays`: of play_roles; `brings`: {role: what it brings along}, followed to the end.
    """
    needs = []
    for play in (play for play in plays if "roles" in play):
        seen, waiting = set[tuple[str, bool]](), list(play["roles"])
        while waiting:
            role = waiting.pop(0)
            if (key := (role["name"], role["sure"])) not in seen:
                seen.add(key)
                given = [*play["vars"], *role["vars"]]
                needs.append({"role": key[0], "pattern": play["hosts"], "sure": key[1], "given": given})
                waiting += [
                    {**one, "sure": one["sure"] and key[1], "vars": [*one["vars"], *role["vars"]]}
                    for one in brings.get(key[0], ())
                ]
    return needs


def spec_options(specs: Any) -> dict[str, Any]:
    """Return the options of entry point main, or of the only one, in a parsed meta/argument_specs.yml; else {}."""
    points = specs.get("argument_specs") if isinstance(specs, Mapping) else None
    points = points if isinstance(points, Mapping) else {}
    point = points.get("main", next(iter(points.values()), None))
    options = point.get("options") if isinstance(point, Mapping) else None
    return dict(options or {})


def play_roles(playbook: Any) -> list[dict[str, Any]]:
    """Return the plays of a parsed playbook: [{hosts, vars: [names], roles: [{name, vars, sure}]}].

    An imported playbook is {import: its path as written, vars}.
    """
    plays: list[dict[str, Any]] = []
    for play in playbook if isinstance(playbook, list) else ():
        if not isinstance(play, Mapping):
            continue
        given = [str(key) for key in play.get("vars") or {}]
        if imported := next((play[key] for key in _IMPORTS if key in play), None):
            plays.append({"import": str(imported), "vars": given})
            continue
        tasks = [role for key in _TASK_LISTS for role in task_roles(play.get(key))]
        hosts = play.get("hosts", "")
        plays.append(
            {
                "hosts": ",".join(hosts) if isinstance(hosts, list) else str(hosts),
                "vars": given,
                "roles": [*_listed_roles(play.get("roles")), *tasks],
            }
        )
    return plays
