"""What the sidecar has learned of one policy, kept in a file so that a restarted container goes on from it.

Versioned and written whole or not at all. What can't be read, or is of another shape, is logged and forgotten: the
sidecar then starts as a new one does.
"""

import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.snapshot import Plain
from forefill_sidecar.profile import Profile

VERSION = 1
LARGEST_BYTES = 4_000_000

_log = logging.getLogger("forefill.state")


class _Document(Struct, frozen=True):
    version: int
    policy: str
    wall_time: float
    predictor: Plain
    profile: Plain


class StateFile:
    """One file for one policy in `folder`. Faults of the disk are logged and never stop the sidecar."""

    def __init__(self, folder: Path, policy: str) -> None:
        self._policy = policy
        self._path = folder / f"learned-{policy.replace('/', '.')}.msgpack"

    def save(self, predictor: Predictor, profile: Profile, wall_time: float) -> None:
        """Write what both have learned by `wall_time` (Unix seconds)."""
        document = _Document(VERSION, self._policy, wall_time, predictor.snapshot(), profile.encode())
        beside = self._path.with_suffix(".new")
        try:
            beside.write_bytes(msgspec.msgpack.encode(document))
            os.replace(beside, self._path)
        except OSError as error:
            _log.warning("%s could not be written: %s", self._path, error)

    def load(self, predictor: Predictor, wall_time: float) -> Profile | None:
        """Give `predictor` what was kept, and return the profile; None, and nothing changed, when that can't be."""
        document = self._read()
        if document is None:
            return None
        missed = (wall_time - document.wall_time) / predictor.season.interval_seconds
        if missed < 0.0:
            _log.warning("%s is from the future and is ignored", self._path)
            return None
        try:
            profile = Profile.decode(document.profile, predictor.season)
            predictor.restore(document.predictor, int(missed))
        except ValueError as error:
            _log.warning("%s does not fit and is ignored: %s", self._path, error)
            return None
        return profile

    def _read(self) -> _Document | None:
        try:
            if self._path.stat().st_size > LARGEST_BYTES:
                raise msgspec.DecodeError(f"it is larger than {LARGEST_BYTES} bytes")
            document = msgspec.msgpack.decode(self._path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("%s can't be read and is ignored: %s", self._path, error)
            return None
        if (document.version, document.policy) != (VERSION, self._policy):
            _log.warning("%s is of version %d and %s, and is ignored", self._path, document.version, document.policy)
            return None
        return document
