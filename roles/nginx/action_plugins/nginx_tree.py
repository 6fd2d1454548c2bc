"""Controller half of `nginx_tree`: renders and checks the tree, runs the module once, and shows the differences."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

# What the template module uses; see `ansible-doc template`.
RENDERING = {"trim_blocks": True, "lstrip_blocks": False}
PATH = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
INCLUDE = re.compile(r"(?:^|[;{}])[ \t]*include\s+[\"']?([^;\s\"']+)", re.MULTILINE)
STAGE, ROOT = "/etc/nginx/trees/.test/", "/etc/nginx/"
SECRETS = "secrets/"


def problems(files: dict[str, Any], whole: bool = True) -> list[str]:
    """Return what is wrong with {path: text}: paths that leave the tree, includes that a test would read elsewhere."""
    found = ["the tree has no nginx.conf"] if whole and "nginx.conf" not in files else []
    for path, text in files.items():
        if not isinstance(text, str):
            found.append(f"{path}: the content must be text")
        elif not PATH.fullmatch(path):
            found.append(f"{path!r}: write a path below active/, of letters, digits and _ - . /")
        elif path == "identity.conf":
            found.append(f"{path}: nginx_tree writes this file itself; choose another name")
        elif above := [str(folder) for folder in PurePosixPath(path).parents if str(folder) in files]:
            found.append(f"{path}: {above[0]} is a file of the tree, so it cannot be a folder")
        for target in INCLUDE.findall(str(text)):
            if not target.startswith(("active/", "/")) or target.startswith("/etc/nginx/active/"):
                found.append(
                    f"{path}: include {target}: write active/... for a file of the tree, else an absolute path"
                )
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[dict[str, str]]:
    """Return Ansible's diff entries between two {path: text}, sorted by path."""

    def side(name: str, path: str, texts: dict[str, str]) -> dict[str, str]:
        return {name: texts.get(path, ""), f"{name}_header": path if path in texts else "/dev/null"}

    return [side("before", path, before) | side("after", path, after) for path in sorted({*before, *after})]


def change(entry: dict[str, str]) -> str:
    """Return one line that names the file of a diff entry and what happened to it."""
    absent = "/dev/null"
    if entry["before_header"] == absent:
        return f"{entry['after_header']}: added"
    what = "removed" if entry["after_header"] == absent else "changed"
    return f"{entry['before_header']}: {what}"


def unified(entry: dict[str, str]) -> str:
    """Return a diff entry as text."""
    before, after = entry["before"].splitlines(), entry["after"].splitlines()
    return "\n".join(difflib.unified_diff(before, after, entry["before_header"], entry["after_header"], lineterm=""))


def with_known(templar: Any, known: Mapping[str, Any]) -> Any:
    """Return a templar to which the variables in `known` have their values already."""
    if not known:
        return templar
    copy = templar.extend()
    copy.available_variables = {**templar.available_variables, **known}
    return copy


def evaluated(names: list[str], templar: Any) -> dict[str, Any]:
    """Return {name: value} of variables, evaluated one after the other so that each sees those before it."""
    known: dict[str, Any] = {}
    for name in names:
        variables = templar.available_variables
        if name not in variables:
            raise AnsibleActionFail(f"nginx_tree: once names {name}, and there is no such variable")
        known[name] = with_known(templar, known).template(variables[name])
    return known


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turns `templates` into `files` and runs the module of the same name, after apt where a package is missing."""

    # Ansible evaluates a variable anew wherever it is named, and the variables of a tree name each other many times.
    # Those in `once`, which has to be the first option, are evaluated once for all that follows: half of what a tree
    # costs. The two hooks are experimental in ansible-core 2.19; without them, `run` evaluates `once`.
    @classmethod
    @contextmanager
    def get_finalize_task_args_context(cls) -> Iterator[dict[str, Any]]:
        """Keep what is known of the variables in `once` while the options are evaluated."""
        yield {}

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: dict[str, Any]) -> Any:
        """Evaluate one option; `once` comes first and becomes {name: value}."""
        if name == "once":
            context |= evaluated(templar.template(value), templar)
            return context
        return with_known(templar, context).template(value)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; `ansible-doc nginx_tree` has the options."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = {**(arguments.pop("files", None) or {}), **(arguments.pop("secrets", None) or {})}
        once = arguments.pop("once", None) or {}
        self._known = once if isinstance(once, Mapping) else evaluated(once, self._templar._engine)
        self._templars: dict[str, Any] = {}
        for position, item in enumerate(arguments.pop("templates", None) or []):
            where = f"nginx_tree: templates[{position}]"
            if not isinstance(item, dict) or not {"src", "dest"} <= set(item) <= {"src", "dest", "vars"}:
                raise AnsibleActionFail(f"{where} must be a mapping of src, dest and, if needed, vars")
            if item["dest"] in files:
                raise AnsibleActionFail(f"{where} writes {item['dest']}, which is in the tree already")
            try:
                files[item["dest"]] = self._render(item, task_vars or {})
            except AnsibleError as error:
                raise AnsibleActionFail(f"{where} ({item['src']}): {error.message}") from error
        state = arguments.get("state", "present")
        if state != "rollback" and (found := problems(files, whole=state == "present")):
            raise AnsibleActionFail("nginx_tree: " + "\n".join(found))
        # The module's output never repeats what came in `secrets`, whatever the verbosity.
        arguments["secrets"] = {path: text for path, text in files.items() if path.startswith(SECRETS)}
        arguments["files"] = {path: text for path, text in files.items() if path not in arguments["secrets"]}
        if state == "present" and "open_files" not in arguments:
            arguments["open_files"] = self._templar.template((task_vars or {}).get("nginx_open_files", 0))
            arguments["take_over"] = self._templar.template((task_vars or {}).get("nginx_take_over", False))
        return self._reported(self._converge(arguments, task_vars or {}))

    def _converge(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the module; where it lacks packages, have apt install them, and run it again."""
        result: dict[str, Any] = self._execute_module("nginx_tree", arguments, task_vars=task_vars)
        missing = result.pop("missing_packages", [])
        if missing and not self._task.check_mode:
            # 101 keeps dpkg from starting nginx, so that Debian's default site never answers.
            packages = {"name": missing, "policy_rc_d": 101}
            done: dict[str, Any] = self._execute_module("ansible.builtin.apt", packages, task_vars=task_vars)
            if done.get("failed"):
                return done
            missing = missing if done.get("changed") else []
            # Without them: one that only apt can judge (a version, a pattern) would be missing again.
            again = {**arguments, "packages": []}
            result = self._execute_module("nginx_tree", again, task_vars=task_vars)
            result["changed"] = bool(result.get("changed") or missing)
        result["changes"] = [f"package {name}: installed" for name in missing]
        return result

    def _render(self, item: dict[str, Any], task_vars: dict[str, Any]) -> str:
        """Return the text of one template, found and rendered as the template module would."""
        source = Path(self._find_needle("templates", item["src"]))
        folders = [*map(Path, task_vars.get("ansible_search_path", [])), source.parent]
        places = [str(place) for folder in folders for place in (folder / "templates", folder)]
        # One for all templates of a folder: it keeps those that they include compiled.
        templar = self._templars.get(str(source.parent))
        if templar is None:
            templar = self._templar.copy_with_new_env(searchpath=places)
            self._templars[str(source.parent)] = templar
        templar.available_variables = {**task_vars, **self._known, **(item.get("vars") or {})}
        text = trust_as_template(self._loader.get_text_file_contents(str(source)))
        return str(templar.template(text, escape_backslashes=False, overrides=RENDERING) or "")

    def _reported(self, result: dict[str, Any]) -> dict[str, Any]:
        """Turn what the module found into a diff and a line for each change, and a failure into one text."""
        diff = differences(result.pop("before", {}), result.pop("after", {}))
        result["changes"] = result.get("changes", []) + [change(entry) for entry in diff]
        result["changes"] += [f"unit {unit}: stopped and disabled" for unit in result.get("displaced", [])]
        if result.get("outcome", "none") != "none":
            result["changes"].append(f"nginx: {result['outcome'].replace('_', ' ')}")
        if self._task.diff:
            result["diff"] = diff
        runs, serves = result.pop("runs", None), result.pop("serves", None)
        if runs is not None:
            what = f"It serves {serves}." if serves else "It serves a configuration that is not of nginx_tree."
            state = f"nginx runs. {what}" if runs else "nginx does not run."
            result["msg"] = "\n".join([result["msg"], state, *map(unified, diff)]).replace(STAGE, ROOT)
        return result
