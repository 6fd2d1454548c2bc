"""Whether what a host answered has the shape of an answer: one that was taken over says anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# A time in seconds of the epoch, which `datetime` can hold in every zone.
MOMENT = "moment"
_LATEST = 1e11
_LARGEST = 1e15


def shaped(value: Any, shape: Any) -> bool:
    """Return whether a value, such as a module's result, has a shape.

    That is a type, MOMENT, `[shape]` for a list of any length, `(shape, shape)` for one of that length, `{str: shape}`
    for a mapping of any keys, or `{"name": shape}` for one that has these at least.
    """
    if shape == MOMENT:
        return shaped(value, float) and 0 <= value < _LATEST
    if isinstance(shape, list):
        return isinstance(value, list) and all(shaped(one, shape[0]) for one in value)
    if isinstance(shape, tuple):
        return isinstance(value, (list, tuple)) and len(value) == len(shape) and all(map(shaped, value, shape))
    if isinstance(shape, Mapping):
        return isinstance(value, Mapping) and _has_keys(value, shape)
    if shape in (int, float):
        number = isinstance(value, (int, float) if shape is float else int) and not isinstance(value, bool)
        return number and math.isfinite(value) and abs(value) < _LARGEST
    return isinstance(value, shape)


def _has_keys(value: Mapping[Any, Any], shape: Mapping[Any, Any]) -> bool:
    if str in shape:
        return all(isinstance(key, str) and shaped(one, shape[str]) for key, one in value.items())
    return all(key in value and shaped(value[key], one) for key, one in shape.items())


# What is said of a host whose answer has another shape.
FOREIGN = "its answer is none that Gatehouse's modules give: somebody may have tampered with the host"
