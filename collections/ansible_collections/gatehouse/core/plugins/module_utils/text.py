"""Text that a host, an application, a build or a visitor wrote, made fit to be read on a terminal and kept in a log."""

from __future__ import annotations

# What a terminal obeys instead of shows, newline and tab excepted: C0, DEL and C1 (ECMA-48), which a terminal in UTF-8
# obeys as U+0080 to U+009F; and what orders text otherwise than it is written (UAX #9), or ends a line of it.
_ORDERING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_CONTROLS |= {code: f"\\u{code:04x}" for code in _ORDERING}
# Bytes that are no UTF-8, as Python keeps them (PEP 383): some are C1 controls of an 8-bit terminal.
_CONTROLS |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}


def visible(text: str) -> str:
    r"""Return a text with every control character spelled out (`\x1b`, `\u202e`), newline and tab excepted."""
    return text if text.isprintable() and text.isascii() else text.translate(_CONTROLS)


def visible_line(text: str) -> str:
    """Return the same for what must stay on one line: a newline is spelled out too."""
    return visible(text).replace("\n", "\\x0a")
