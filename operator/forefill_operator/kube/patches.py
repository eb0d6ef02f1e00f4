"""JSON patches (RFC 6902) as small as they can be: lists are added to, never replaced."""

from collections.abc import Iterable, Mapping
from typing import Any

Operation = dict[str, Any]


def escape(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def insert_first(path: str, existing: list[Any] | None, item: Any) -> Operation:
    if not existing:
        return {"op": "add", "path": path, "value": [item]}
    return {"op": "add", "path": f"{path}/0", "value": item}


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
