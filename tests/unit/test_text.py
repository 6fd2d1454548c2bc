"""What others wrote is shown without commanding a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible, visible_line
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\n\tlines, 寝る é", "two\n\tlines, 寝る é"),
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("\x9b31m\x7f\x00\r\x08", r"\x9b31m\x7f\x00\x0d\x08"),
        ("user\u202egnp\u2066\u200f\u2028", r"user\u202egnp\u2066\u200f\u2028"),
        (b"\x9b31m".decode(errors="surrogateescape"), r"\x9b31m"),
    ],
)
def test_controls_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown, "what is visible stays as it is"


@given(st.text(st.characters(categories=["Cc", "Cs", "L"]) | st.sampled_from("\u202e\u2066\u061c")))
def test_no_control_is_left(text: str) -> None:
    text = text.encode(errors="surrogateescape" if text.isascii() else "replace").decode()
    assert not [one for one in visible(text) if unicodedata.category(one) == "Cc" and one not in "\n\t"]
    assert not set(visible(text)) & set("\u202e\u2066\u061c")
    assert "\n" not in visible_line(text)
