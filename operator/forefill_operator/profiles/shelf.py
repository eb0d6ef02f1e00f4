"""Keeps what is known of workloads in a file, for the next operator of the folder."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from forefill_operator.profiles.pasts import Kept
from forefill_protocol.codec import UNREADABLE

VERSION = 1

_log = logging.getLogger("forefill.profiles")


class _Document(msgspec.Struct):
    version: int
    kept: list[Kept]


@dataclass(frozen=True)
class Shelf:
    """One file, replaced as a whole."""

    path: Path

    def read(self) -> list[Kept]:
        """Nothing, and logged, when the file can't be used: it is learned again."""
        try:
            document = msgspec.msgpack.decode(self.path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return []
        except (OSError, *UNREADABLE) as error:
            _log.warning("%s: what was learned of workloads can't be read: %s", self.path, error)
            return []
        return document.kept if document.version == VERSION else []

    def write(self, kept: Sequence[Kept]) -> None:
        """Logged when the disk does not take it."""
        beside = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.write_bytes(msgspec.msgpack.encode(_Document(VERSION, list(kept))))
            beside.replace(self.path)
        except OSError as error:
            _log.error("%s: what was learned of workloads can't be kept: %s", self.path, error)
