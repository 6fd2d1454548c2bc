"""Node-RED, whose editor hears over a WebSocket what flows do."""

from __future__ import annotations

import json
from pathlib import Path

from browser import Browser
from sources import lock_node, note_version
from visitor import Visitor

ENTRY = """\
- name: nodered
  runtime: node
  version: "{version}"
  port: 1880
  node: {{build_script: "", include: [package.json, VERSION]}}
  web_command: node node_modules/node-red/red.js --userDir /var/lib/nodered --port $APP_PORT
  health_path: /
"""
SITE = """\
- name: nodered
  server_names: [nodered.lab.test]
  locations: [{path: /, upstream: nodered, websocket: true}]
"""
LOAD = ("/", "/settings", "/flows")
FLOW = [
    {"id": "a1", "type": "tab", "label": "ride"},
    {"id": "b1", "type": "inject", "z": "a1", "repeat": "1", "once": True, "payload": "clop", "payloadType": "str",
     "props": [{"p": "payload"}], "x": 100, "y": 100, "wires": [["c1"]]},
    {"id": "c1", "type": "debug", "z": "a1", "name": "heard", "active": True, "tosidebar": True, "complete": "payload",
     "targetType": "msg", "x": 300, "y": 100, "wires": []},
]  # fmt: skip


def source(folder: Path, version: str) -> None:
    """The last Node-RED for Debian's Node."""
    if version == "1.0.0":
        lock_node(folder, "nodered", "node-red@4")
    note_version(folder, version)


def check(visitor: Visitor) -> None:
    """Deploy a flow, and see in the editor what it says each second."""
    body = json.dumps(FLOW).encode()
    assert visitor.ask("/flows", "POST", body, Content_Type="application/json").status == 204
    with Browser(visitor) as browser:
        browser.open("/")
        browser.wait_for("#red-ui-workspace-chart", 60)
        browser.run("RED.sidebar.show('debug')")
        browser.wait_for(".red-ui-debug-msg-payload", 30)
        assert "clop" in browser.text(".red-ui-debug-msg-payload")
