"""The access log: one JSON object a line, written by a thread of its own."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from forefill_sidecar.entry import Entry

_encode = msgspec.json.Encoder().encode


def line(entry: Entry) -> bytes:
    """`time` becomes RFC 3339 in UTC with milliseconds; members that say nothing are left out."""
    stamp = datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    members = {"time": stamp, **{name: _plain(getattr(entry, name)) for name in _MEMBERS}}
    return _encode({name: value for name, value in members.items() if value is not None}) + b"\n"


_MEMBERS = tuple(name for name in Entry.__struct_fields__ if name not in ("time", "trace"))


def _plain(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


class FileSink:
    """Appends to a file; "-" is standard output. Raises OSError when it can't be opened."""

    def __init__(self, path: str) -> None:
        self._file: BinaryIO = sys.stdout.buffer if path == "-" else open(path, "ab")

    def deliver(self, entries: Sequence[Entry]) -> None:
        self._file.write(b"".join(map(line, entries)))
        self._file.flush()

    def close(self) -> None:
        if self._file is not sys.stdout.buffer:
            self._file.close()
