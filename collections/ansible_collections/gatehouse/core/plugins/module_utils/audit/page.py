"""The document of an audit as a page of HTML that needs nothing else."""

from __future__ import annotations

import html

from ..status_table import local
from .report import Part
from .table import groups, heading, waiver_text
from .verdict import FAIL

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0 2rem}"
    "th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8886}"
    "td{overflow-wrap:anywhere}td ul{margin:.2rem 0;padding-left:1.2rem}"
    "td:nth-child(1){width:38%}td:nth-child(2),td:nth-child(3){white-space:nowrap}"
    "mark{padding:.1rem .45rem;border-radius:.3rem}"
    ".fail{color:#fff;background:#b3261e}.waived{color:#000;background:#e0a030}"
    ".pass{color:#fff;background:#2e7d32}.absent{color:inherit;background:#8883}"
    "small{opacity:.75}.problems li{color:#b3261e}@media(prefers-color-scheme:dark){.problems li{color:#ff8a80}}"
)


def _cells(row: Part) -> str:
    kind = row["result"] if row["result"] in ("pass", "fail", "waived") else "absent"
    details = [f"<code>{html.escape(one['where'])}</code>: {html.escape(one['what'])}" for one in row["findings"]]
    details += [html.escape(text)] if (text := waiver_text(row)) else []
    places = f"<ul>{''.join(f'<li>{one}</li>' for one in details)}</ul>" if details else ""
    return (
        f"<tr><td>{html.escape(row['title'])}<br><small>{row['item']}</small></td><td>{row['benchmark']}</td>"
        f"<td><mark class={kind}>{row['result']}</mark></td><td>{html.escape(row['why'])}{places}</td></tr>\n"
    )


def audit_page(document: Part) -> str:
    """Return the page."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Audit</title>\n'
        f"<style>{_STYLE}</style>\n<h1>Audit of {html.escape(document['environment'])}</h1>\n"
        f"<p>{html.escape(local(document['time']))}, read from the hosts; nothing was changed.</p>\n"
    ]
    if document["problems"]:
        lines = "".join(f"<li>{html.escape(one)}</li>\n" for one in document["problems"])
        parts.append(f"<h2>Failures without a waiver</h2>\n<ul class=problems>\n{lines}</ul>\n")
    else:
        parts.append("<p>No failure without a waiver.</p>\n")
    for names, host in groups(document):
        parts.append(f"<h2>{html.escape(heading(names, host))}</h2>\n")
        if host["items"]:
            rows = sorted(host["items"], key=lambda row: row["result"] != FAIL)
            parts.append(
                "<table>\n<thead><tr><th>Item</th><th>CIS 2.1</th><th>Result</th><th>Why and where</th></tr></thead>\n"
                f"<tbody>\n{''.join(_cells(row) for row in rows)}</tbody>\n</table>\n"
            )
    return "".join([*parts, "</html>\n"])
