"""Who is at the other end of a stream. A token names a pod; nothing in a message can."""

import asyncio
import csv
import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from forefill_operator.client import Client

_log = logging.getLogger("forefill.operator")


class Rejected(Exception):
    """The token is not accepted. `code` is 401 (no valid token), 403 (valid, not allowed) or 503 (can't tell now)."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Authenticator(Protocol):
    async def authenticate(self, token: str) -> Client:
        """The pod that holds `token`. Raises Rejected."""

    def expires_at(self, token: str) -> float:
        """Seconds since 1970 when an accepted token ends; infinite when it never does."""


class BadTokenFile(ValueError):
    """A line of a token file can't be used; the sentence names the file and the line."""


class StaticTokens:
    """Tokens from a file, for an operator without a cluster.

    The file is CSV: token, name, uid, and optionally a namespace and the workload that the pod is one of. It is read
    again when it changes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        # By digest: how long a look-up takes says nothing of the tokens.
        self._clients: dict[bytes, Client] = {}

    def read(self) -> list[tuple[str, Client]]:
        """Raises OSError and BadTokenFile."""
        try:
            return read_tokens(self.path.read_text(encoding="utf-8").splitlines(), str(self.path))
        except UnicodeDecodeError as error:
            raise BadTokenFile(f"{self.path}: byte {error.start} is not UTF-8") from None

    async def authenticate(self, token: str) -> Client:
        try:
            if self._stamp() != self._seen:
                await asyncio.to_thread(self._read_again)
        except (OSError, BadTokenFile) as error:
            _log.error("nobody can be let in: %s", error)
            raise Rejected(503, "the operator can't read its token file") from None
        client = self._clients.get(_digest(token))
        if client is None:
            raise Rejected(401, "the token is not in the operator's token file")
        return client

    def _stamp(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_mtime_ns, stat.st_size

    def _read_again(self) -> None:
        seen = self._stamp()
        self._clients = {_digest(token): client for token, client in self.read()}
        self._seen = seen

    def expires_at(self, token: str) -> float:
        """Such a token ends when it is taken out of the file, which its stream does not notice."""
        return float("inf")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def read_tokens(lines: Iterable[str], source: str) -> list[tuple[str, Client]]:
    """Pairs of token and pod. Raises BadTokenFile."""
    pairs = []
    for number, row in enumerate(csv.reader(lines), start=1):
        fields = [field.strip() for field in row]
        if not any(fields) or fields[0].startswith("#"):
            continue
        if len(fields) not in (3, 4, 5) or not all(fields):
            found = f"{len(fields)} fields" if all(fields) else "an empty field"
            raise BadTokenFile(f"{source} line {number}: expected token,name,uid[,namespace[,workload]], found {found}")
        token, name, uid, *rest = fields
        namespace, workload = [*rest, *("default", "")[len(rest) :]]
        pairs.append((token, Client(namespace, "static", name, uid, {}, workload)))
    return pairs
