"""What the sidecar has learned of one policy, kept in a file so that a restarted container goes on from it.

Versioned and written whole or not at all. What can't be read, or is of another shape, is logged and forgotten: the
sidecar then starts as a new one does.
"""

import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from forefill_protocol.codec import UNREADABLE
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.snapshot import Plain
from forefill_sidecar.profile import Profile

VERSION = 2
LARGEST_BYTES = 4_000_000

_log = logging.getLogger("forefill.state")


class _Document(Struct, frozen=True):
    version: int
    policy: str
    wall_time: float
    predictor: Plain
    profile: Plain
    declared: Plain


def encode(
    policy: str, predictor: Predictor, profile: Profile, expectations: Expectations, now: float, wall_time: float
) -> bytes:
    """What they have learned by `now` (monotonic seconds), which is `wall_time` (Unix seconds)."""
    plain = predictor.snapshot(), profile.encode(), expectations.encode(now)
    return msgspec.msgpack.encode(_Document(VERSION, policy, wall_time, *plain))


class StateFile:
    """One file for one policy in `folder`. Faults of the disk are logged and never stop the sidecar."""

    def __init__(self, folder: Path, policy: str) -> None:
        self._policy = policy
        self._path = folder / f"learned-{policy.replace('/', '.')}.msgpack"

    def write(self, document: bytes) -> None:
        """Keep what `encode` made."""
        beside = self._path.with_suffix(".new")
        try:
            beside.write_bytes(document)
            os.replace(beside, self._path)
        except OSError as error:
            _log.warning("%s could not be written: %s", self._path, error)

    def load(self, predictor: Predictor, expectations: Expectations, now: float, wall_time: float) -> Profile | None:
        """Give both what was kept, and return the profile; None, and nothing changed, when that can't be."""
        document = self._read()
        if document is None:
            return None
        age = wall_time - document.wall_time
        if age < 0.0:
            _log.warning("%s is from the future and is ignored", self._path)
            return None
        try:
            profile = Profile.decode(document.profile, predictor.season)
            predictor.restore(document.predictor, int(age / predictor.season.interval_seconds))
        except ValueError as error:
            _log.warning("%s does not fit and is ignored: %s", self._path, error)
            return None
        try:
            expectations.decode(document.declared, now, age)
        except (ValueError, msgspec.ValidationError) as error:
            _log.warning("what %s says of declared work does not fit and is ignored: %s", self._path, error)
        return profile

    def _read(self) -> _Document | None:
        try:
            if self._path.stat().st_size > LARGEST_BYTES:
                raise msgspec.DecodeError(f"it is larger than {LARGEST_BYTES} bytes")
            document = msgspec.msgpack.decode(self._path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return None
        except (OSError, *UNREADABLE) as error:
            _log.warning("%s can't be read and is ignored: %s", self._path, error)
            return None
        if (document.version, document.policy) != (VERSION, self._policy):
            _log.warning("%s is of version %d and %s, and is ignored", self._path, document.version, document.policy)
            return None
        return document
