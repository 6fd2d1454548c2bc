"""Controller half of `nginx_tree`: renders the templates and hands the whole tree to the module in one remote call."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

# What the template module uses; see `ansible-doc template`.
RENDERING = {"trim_blocks": True, "lstrip_blocks": False}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Turns `templates` into `files` and runs the module of the same name."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; see the DOCUMENTATION of library/nginx_tree.py."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        templates = arguments.pop("templates", None) or []
        files = arguments.pop("files", None) or {}
        if not isinstance(templates, list) or not isinstance(files, dict):
            raise AnsibleActionFail("nginx_tree: templates must be a list and files a mapping of path to content")
        if templates or files:
            arguments["files"] = dict(files)
        for position, item in enumerate(templates):
            self._check(item, f"templates[{position}]", arguments["files"])
            try:
                arguments["files"][item["dest"]] = self._render(item, task_vars or {})
            except AnsibleError as error:
                where = f"nginx_tree: templates[{position}] ({item['src']} to {item['dest']})"
                raise AnsibleActionFail(f"{where}: {error.message}") from error
        result: dict[str, Any] = self._execute_module("nginx_tree", module_args=arguments, task_vars=task_vars)
        return result

    @staticmethod
    def _check(item: Any, where: str, files: dict[str, str]) -> None:
        """Refuse an item that is not {src, dest, vars}, and a destination that is already taken."""
        if not isinstance(item, dict) or not {"src", "dest"} <= set(item) <= {"src", "dest", "vars"}:
            raise AnsibleActionFail(f"nginx_tree: {where} must be a mapping of src, dest and, if needed, vars")
        if item["dest"] in files:
            raise AnsibleActionFail(f"nginx_tree: {where} writes {item['dest']}, which is already in the tree")

    def _render(self, item: dict[str, Any], task_vars: dict[str, Any]) -> str:
        """Return the text of one template, found and rendered as the template module would."""
        source = self._find_needle("templates", item["src"])
        folders = [*task_vars.get("ansible_search_path", []), os.path.dirname(source)]
        templar = self._templar.copy_with_new_env(
            searchpath=[place for folder in folders for place in (os.path.join(folder, "templates"), folder)],
            available_variables={**task_vars, **(item.get("vars") or {})},
        )
        text = trust_as_template(self._loader.get_text_file_contents(source))
        return str(templar.template(text, escape_backslashes=False, overrides=RENDERING) or "")
