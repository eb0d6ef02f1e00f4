"""What an operator without a cluster keeps between runs: certificates, keys, and which policies it has served."""

import datetime
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forefill_operator import tickets
from forefill_operator.kube import certificates
from forefill_operator.kube.certificates import BadPair, Pair
from forefill_operator.policy import TokenPolicy
from forefill_operator.tickets import Key

AUTHORITY, SERVING, TICKETS = "ca", "serving", "tickets.json"

_log = logging.getLogger("forefill.operator")


def ensure_certificate(folder: Path, hosts: Sequence[str], now: datetime.datetime) -> tuple[Path, Path]:
    """Paths of a serving certificate and its key, made or renewed where due. `folder`/ca.crt is its authority.

    Raises OSError, and BadPair when the kept authority can't be read: a new one would shut every sidecar out.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _kept(folder, AUTHORITY)
    if authority is None:
        authority = certificates.make_authority("forefill", now)
        _keep(folder, AUTHORITY, authority)
    certificates.read(authority)
    serving = _kept(folder, SERVING)
    if serving is None or not certificates.serves(serving, authority, hosts, now):
        _keep(folder, SERVING, certificates.issue(authority, hosts, now))
    return folder / f"{SERVING}.crt", folder / f"{SERVING}.key"


def ensure_ticket_keys(folder: Path, now: float) -> tuple[Key, ...]:
    """The keys of earlier runs, rotated where due; `now` is since 1970. Raises OSError, and ValueError for no keys."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / TICKETS
    kept = tickets.decode_keys(path.read_bytes()) if path.exists() else ()
    keys = tickets.rotated(kept, now)
    if keys != kept:
        _write_private(path, tickets.encode_keys(keys))
    return keys


def _kept(folder: Path, name: str) -> Pair | None:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    if not certificate.exists() and not key.exists():
        return None
    if not certificate.exists() or not key.exists():
        raise BadPair(f"{folder}: {name}.crt and {name}.key belong together, but one of them is missing")
    return Pair(certificate.read_bytes(), key.read_bytes())


def _keep(folder: Path, name: str, pair: Pair) -> None:
    (folder / f"{name}.crt").write_bytes(pair.certificate)
    _write_private(folder / f"{name}.key", pair.key)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@dataclass(frozen=True)
class Served:
    """Remembers which policies ever had clients to serve, one uid a line: only their leases can be out there."""

    path: Path

    def is_new(self, policy: TokenPolicy) -> bool:
        """Whether no operator of this folder has served the policy; from then on it counts as served.

        False, and logged, when the disk can't say or keep it: then leases may be out there.
        """
        try:
            return self._note(policy.uid)
        except (OSError, UnicodeDecodeError) as error:
            _log.error("%s: nobody can say whether %s was served before: %s", self.path, policy.key, error)
            return False

    def _note(self, uid: str) -> bool:
        known = self.path.read_text().split() if self.path.exists() else []
        if uid in known:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.open("a") as file:
            file.write(f"{uid}\n")
        return True
