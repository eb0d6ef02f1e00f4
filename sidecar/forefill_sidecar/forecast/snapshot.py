"""Plain values in and out of forecasters, so that what they learned survives a container restart.

A snapshot holds only dicts with string keys, lists, numbers, text and None. It fits back only into an object
of the same shape: anything else is refused whole, and the object stays as it was.
"""

import math
from dataclasses import fields, is_dataclass
from typing import Any

Plain = Any


def take(value: object) -> Plain:
    """The state of a dataclass tree as plain values."""
    if is_dataclass(value):
        return {each.name: take(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, list):
        return [take(each) for each in value]
    return value


def put(target: object, plain: Plain) -> None:
    """Give `target` the state that `take` read. ValueError names the first place that does not fit."""
    _check(target, plain, type(target).__name__)
    _fill(target, plain)


def _check(target: object, plain: Plain, place: str) -> None:
    if is_dataclass(target):
        names = {each.name for each in fields(target)}
        if not isinstance(plain, dict) or set(plain) != names:
            raise ValueError(f"{place} does not have the fields {', '.join(sorted(names))}")
        for name in names:
            _check(getattr(target, name), plain[name], f"{place}.{name}")
    elif isinstance(target, list):
        if not isinstance(plain, list) or len(plain) != len(target):
            raise ValueError(f"{place} is not a list of {len(target)}")
        for i, each in enumerate(target):
            _check(each, plain[i], f"{place}[{i}]")
    elif not _alike(target, plain):
        raise ValueError(f"{place} is {plain!r}, not a finite value like {target!r}")


def _alike(target: object, plain: Plain) -> bool:
    if isinstance(target, float):
        return isinstance(plain, int | float) and not isinstance(plain, bool) and math.isfinite(plain)
    return type(plain) is type(target)


def _fill(target: object, plain: Plain) -> None:
    if is_dataclass(target):
        for each in fields(target):
            held = getattr(target, each.name)
            if is_dataclass(held) or isinstance(held, list):
                _fill(held, plain[each.name])
            else:
                setattr(target, each.name, _typed(held, plain[each.name]))
    elif isinstance(target, list):
        for i, held in enumerate(target):
            if is_dataclass(held) or isinstance(held, list):
                _fill(held, plain[i])
            else:
                target[i] = _typed(held, plain[i])


def _typed(held: object, plain: Plain) -> Plain:
    return float(plain) if isinstance(held, float) else plain
