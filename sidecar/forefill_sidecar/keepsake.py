"""The last assignments, kept in a file so that a restarted container goes on with the lease it had.

Versioned and written whole or not at all; what can't be read is as if it were not there.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from forefill_protocol.codec import UNREADABLE
from forefill_protocol.messages import Assignment

VERSION = 1
FILE = "assignments.msgpack"

_log = logging.getLogger("forefill.keepsake")


class Kept(Struct, frozen=True):
    """An assignment whose durations run from `counted_from` (Unix time, since nothing else survives a restart)."""

    assignment: Assignment
    counted_from: float


class _Document(Struct, frozen=True):
    version: int
    kept: list[Kept]


class Keepsake:
    """One file in one folder. Faults of the disk are logged and never stop the sidecar."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def load(self, wall_time: float) -> list[Kept]:
        """What was kept and is not from the future: after a clock jumped back nobody can tell how old a lease is."""
        try:
            document = msgspec.msgpack.decode(self._path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return []
        except (OSError, *UNREADABLE) as error:
            _log.warning("%s can't be read and is ignored: %s", self._path, error)
            return []
        if document.version != VERSION:
            _log.warning("%s has version %d, not %d, and is ignored", self._path, document.version, VERSION)
            return []
        return [kept for kept in document.kept if kept.counted_from <= wall_time]

    def save(self, kept: Iterable[Kept]) -> None:
        beside = self._path.with_suffix(".new")
        try:
            beside.write_bytes(msgspec.msgpack.encode(_Document(VERSION, list(kept))))
            os.replace(beside, self._path)
        except OSError as error:
            _log.warning("the assignments could not be kept: %s", error)
