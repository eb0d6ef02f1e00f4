"""What the injector writes into a pod: enough for its sidecar to serve when nobody answers.

The document travels as JSON in the environment variable `FOREFILL_SETTINGS`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from forefill_protocol.codec import UNREADABLE
from forefill_protocol.fields import Amount, Count, Mode, PolicyName, ShortText
from forefill_protocol.policysettings import PolicySettings

VARIABLE = "FOREFILL_SETTINGS"
TOKEN_AUDIENCE = "forefill.io"

HEALTH_PORT = 17020
FIRST_LISTENER_PORT = 17001

Port = Annotated[int, Meta(ge=1, le=65535)]


class PolicyListener(Struct, frozen=True):
    """One TokenPolicy of the pod: where its requests come in, where they go, and what holds until an answer comes.

    `safe_rate` (tokens/s) and `burst` (tokens) bound the pod while the operator has never answered.
    """

    policy: PolicyName
    policy_uid: ShortText
    policy_generation: Count
    port: Port
    upstream: Annotated[str, Meta(pattern=r"^https?://[^/\s]+(/[^\s]*)?$")]
    mode: Mode
    safe_rate: Amount
    burst: Amount
    settings: PolicySettings
    upstream_ca_bundle: str = ""


class PodSettings(Struct, frozen=True):
    """All that one sidecar needs. Paths are inside the sidecar's container; `operator` is a wss:// URL or empty."""

    listeners: Annotated[list[PolicyListener], Meta(min_length=1, max_length=16)]
    operator: str = ""
    ca_bundle: str = ""
    token_file: str = "/var/run/secrets/forefill.io/token"
    state_directory: str = "/var/lib/forefill"


def encode(settings: PodSettings) -> str:
    return msgspec.json.encode(settings).decode()


def decode(text: str) -> PodSettings:
    """Raises ValueError with a sentence that names the field."""
    try:
        return msgspec.json.decode(text, type=PodSettings)
    except UNREADABLE as error:
        raise ValueError(f"{VARIABLE} can't be read: {error}") from None
