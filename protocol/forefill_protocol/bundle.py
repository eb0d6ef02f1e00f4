"""The PEM bundle of authorities that sidecars know the operator by, and the name that acknowledgements call it."""

import hashlib


def fingerprint(pem: str) -> str:
    """32 hex digits of the bundle's text without what surrounds it; empty for an empty bundle."""
    text = pem.strip()
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else ""
