"""Which operator should own which policy. Pure: every operator comes to the same answer from the same list."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b


def chosen(key: str, operators: Sequence[str]) -> str:
    """Rendezvous hashing (Thaler and Ravishankar 1998): one that joins or leaves moves only its own part of the keys.

    Raises ValueError without operators.
    """
    return max(operators, key=lambda operator: (_score(key, operator), operator))


def share(keys: Iterable[str], operators: Sequence[str], operator: str) -> set[str]:
    """The keys that `operator` should own."""
    return {key for key in keys if operators and chosen(key, operators) == operator}


def _score(key: str, operator: str) -> bytes:
    return blake2b(f"{operator}\0{key}".encode(), digest_size=8).digest()
