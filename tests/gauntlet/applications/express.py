"""An Express application with better-sqlite3, whose native module is compiled for the hosts' Node."""

from __future__ import annotations

import json
from pathlib import Path

from sources import lock_node
from visitor import Visitor

ENTRY = """\
- name: express
  runtime: node
  version: "{version}"
  port: 3000
  node: {{entry: server.js, build_script: "", include: [server.js, package.json], install_scripts: [better-sqlite3]}}
  health_path: /
"""
LOAD = ("/", "/horses")
# As the manuals of both packages have it: https://expressjs.com/en/guide/behind-proxies.html
SERVER = """\
const app = require('express')()
const db = require('better-sqlite3')(process.env.STATE_DIRECTORY + '/horses.db')
db.pragma('journal_mode = WAL')
db.exec('CREATE TABLE IF NOT EXISTS horses (name TEXT)')
app.set('trust proxy', 'loopback')
app.use(require('express').json())
app.get('/', (request, response) => response.json({ version: 'VERSION', ip: request.ip, protocol: request.protocol }))
app.get('/horses', (request, response) => response.json(db.prepare('SELECT name FROM horses').all()))
app.post('/horses', (request, response) => {
  db.prepare('INSERT INTO horses VALUES (?)').run(request.body.name)
  response.status(201).end()
})
const server = app.listen(process.env.APP_PORT, process.env.APP_ADDRESS)
process.on('SIGTERM', () => server.close(() => process.exit(0)))
"""


def source(folder: Path, version: str) -> None:
    """A package.json and one file."""
    if version == "1.0.0":
        lock_node(folder, "horses", "express", "better-sqlite3@12")
    (folder / "server.js").write_text(SERVER.replace("VERSION", version))


def check(visitor: Visitor) -> None:
    """Who asks and how, and rows that stay through both deployments."""
    seen = json.loads(visitor.ask("/").text)
    assert (seen["ip"], seen["protocol"]) == ("198.18.64.1", "https"), seen
    before = json.loads(visitor.ask("/horses").text)
    assert visitor.ask("/horses", "POST", b'{"name": "Hob"}', Content_Type="application/json").status == 201
    assert len(json.loads(visitor.ask("/horses").text)) == len(before) + 1
