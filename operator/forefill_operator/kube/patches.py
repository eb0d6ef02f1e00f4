"""JSON patches (RFC 6902) as small as they can be: lists are added to, never replaced."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

Operation = dict[str, Any]


def escape(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def insert(path: str, existing: list[Any] | None, index: int, item: Any) -> Operation:
    if not existing:
        return {"op": "add", "path": path, "value": [item]}
    return {"op": "add", "path": f"{path}/{index}", "value": item}


def append(path: str, existing: list[Any] | None, items: Iterable[Any]) -> list[Operation]:
    added = list(items)
    if not added:
        return []
    if not existing:
        return [{"op": "add", "path": path, "value": added}]
    return [{"op": "add", "path": f"{path}/-", "value": item} for item in added]


def set_keys(path: str, existing: Mapping[str, str] | None, values: Mapping[str, str]) -> list[Operation]:
    """Add or replace keys of a map that may be missing."""
    if existing is None:
        return [{"op": "add", "path": path, "value": dict(values)}]
    return [{"op": "add", "path": f"{path}/{escape(key)}", "value": value} for key, value in values.items()]


def apply(document: Any, operations: Iterable[Operation]) -> Any:
    """A copy of `document` after operations of the kinds made here: each adds at a path whose parent exists."""
    result = copy.deepcopy(document)
    for operation in operations:
        *parents, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        target = result
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        value = copy.deepcopy(operation["value"])
        if isinstance(target, list):
            target.insert(len(target) if last == "-" else int(last), value)
        else:
            target[last] = value
    return result
