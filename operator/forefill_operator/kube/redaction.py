"""Takes secrets out of what leaves a cluster in a support archive. Pure."""

import re
from typing import Any

REDACTED = "REDACTED"
_PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL), REDACTED),
    # JSON Web Tokens, which service accounts have.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2}"), REDACTED),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"(?<=://)[^/@\s\"']+@"), f"{REDACTED}@"),
    (
        re.compile(
            r"\b((?:[\w-]*[_-])?(?:password|passwd|secret|token|api[_-]?key|authorization|credential)s?)"
            r"(\"?\s*[=:]\s*\"?)(?!Bearer|Basic)[^\s\"',&]+",
            re.IGNORECASE,
        ),
        rf"\1\2{REDACTED}",
    ),
)
_SECRET_KEY = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api[-_]?key|private[-_]?key", re.IGNORECASE
)
# Keys that only say where a secret is, or for how long.
_POINTER = re.compile(r"(Name|Ref|File|Path|Policy|Seconds)$")
_DROPPED = frozenset({"managedFields", "caBundle", "kubectl.kubernetes.io/last-applied-configuration"})


def text(value: str) -> str:
    """A log, a page or any string."""
    for pattern, replacement in _PATTERNS:
        value = pattern.sub(replacement, value)
    return value


def document(value: Any) -> Any:
    """A manifest: fields that are named like secrets lose their strings, `headers` all of theirs."""
    if isinstance(value, dict):
        return {key: _field(str(key), entry) for key, entry in value.items() if key not in _DROPPED}
    if isinstance(value, list):
        return [document(entry) for entry in value]
    return text(value) if isinstance(value, str) else value


def _field(key: str, value: Any) -> Any:
    if key == "headers":
        return {name: REDACTED for name in value} if isinstance(value, dict) else REDACTED
    if isinstance(value, str) and _SECRET_KEY.search(key) and not _POINTER.search(key):
        return REDACTED
    return document(value)
