"""The messages of the stream. docs/protocol.md explains the conversation; golden bytes pin the encoding.

Rates are tokens/s, amounts tokens, durations seconds, all floats. Numbers are finite and not negative unless a
field says otherwise; the codec refuses others. Fields may be added with a default; none is ever removed or given
another meaning within protocol version 1, and a reader ignores fields it does not know.
"""

from typing import Annotated

from msgspec import Meta, Struct

from forefill_protocol.fields import Amount, Count, Mode, PolicyName, Seconds, Sentence, ShortText
from forefill_protocol.policysettings import Inherited, PolicySettings

PROTOCOL_VERSION = 1
STREAM_PATH = "/v1/stream"


class Message(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What both directions have in common: the field `type` names the message."""


class Spread(Struct, frozen=True, omit_defaults=True):
    """How a quantity was distributed inside one window."""

    mean: Amount
    p50: Amount
    p95: Amount


class Forecast(Struct, frozen=True, omit_defaults=True):
    """Offered demand expected in one coming window, tokens/s."""

    mean: Amount
    p50: Amount
    p90: Amount
    p95: Amount


class Expectation(Struct, frozen=True, omit_defaults=True):
    """Work declared to come: `tokens` in all, spread evenly from `after_seconds` on over `for_seconds`."""

    after_seconds: Seconds
    for_seconds: Seconds
    tokens: Amount


class Holding(Struct, frozen=True, omit_defaults=True):
    """The lease a sidecar still holds for one policy when it (re)connects."""

    policy: PolicyName
    policy_uid: ShortText = ""
    policy_generation: Count = 0
    grant_sequence: Count = 0
    fill_rate: Amount = 0.0
    safe_rate: Amount = 0.0
    seconds_left: Seconds = 0.0
    ticket: Annotated[bytes, Meta(max_length=512)] = b""


class PolicyReport(Struct, frozen=True, omit_defaults=True):
    """What one pod asked of one policy in one window.

    `offered` counts the tokens of requests that first arrived in the window, `backlog` the tokens that wait at its end.
    `forecasts` holds one entry a coming window, nearest first, without what `expectations` declare: that comes on top,
    and is weighted already by how much of earlier declarations came true. `grant_sequence` and `policy_generation` name
    what the sidecar enforces, so every report acknowledges too. An `early` one is sent inside a window; it and the
    window's last report each tell of their own part, and `window_seconds` is how long that part was.

    `would_wait` and `would_refuse` are what of `offered` enforcement would have held up and turned away, tokens; both
    are 0 while it is enforced.

    `spare_tokens` of the bucket are not needed soon: a recall may ask for them. Where the window surprised, the last
    `recent_seconds` of it, or somewhat more, brought `recent_offered`.
    """

    policy: PolicyName
    window_seconds: Seconds
    offered: Amount
    admitted: Amount
    refused: Amount
    backlog: Amount
    requests: Count
    forecasts: Annotated[list[Forecast], Meta(max_length=12)]
    grant_sequence: Count = 0
    policy_generation: Count = 0
    errors: Count = 0
    request_bytes: Spread | None = None
    cost: Spread | None = None
    upstream_seconds: Spread | None = None
    expectations: Annotated[list[Expectation], Meta(max_length=32)] = []
    early: bool = False
    restored: bool = False
    would_wait: Amount = 0.0
    would_refuse: Amount = 0.0
    spare_tokens: Amount = 0.0
    recent_seconds: Seconds = 0.0
    recent_offered: Amount = 0.0


class Hello(Message, frozen=True, omit_defaults=True, tag="hello"):
    """First message up. `boot_id` changes with each start of the sidecar's process and scopes the report sequence.

    `ca_fingerprint` names the CA bundle that the sidecar trusts.
    """

    protocol: Count
    boot_id: ShortText
    software: ShortText
    holdings: Annotated[list[Holding], Meta(max_length=16)]
    ca_fingerprint: ShortText = ""


class Report(Message, frozen=True, omit_defaults=True, tag="report"):
    """Sent once a window. `sequence` rises by one a report; a repeated or older one is answered but not counted."""

    sequence: Count
    entries: Annotated[list[PolicyReport], Meta(max_length=16)]


class Ack(Message, frozen=True, omit_defaults=True, tag="ack"):
    """The sidecar's bucket runs at this grant, under this generation of the policy.

    `tokens` were taken out of the bucket for the recall of this sequence, never more than it asked for.
    `ca_fingerprint` names the CA bundle that its next connection will trust.
    """

    policy: PolicyName
    grant_sequence: Count
    policy_generation: Count
    ca_fingerprint: ShortText = ""
    tokens: Amount = 0.0


class Renew(Message, frozen=True, omit_defaults=True, tag="renew"):
    """The kubelet rotated the pod's token; the stream goes on under the new one."""

    token: Annotated[str, Meta(max_length=16384)]


class Goodbye(Message, frozen=True, omit_defaults=True, tag="goodbye"):
    """The pod ends: its grants may be given to others at once."""

    reason: Sentence = ""


class Step(Struct, frozen=True, omit_defaults=True):
    """From `after_seconds` on the bucket fills at `fill_rate`."""

    after_seconds: Seconds
    fill_rate: Amount


class Assignment(Message, frozen=True, omit_defaults=True, tag="assignment"):
    """A grant: `fill_rate` for `rate_seconds`, `safe_rate` until `lease_seconds`, then the policy's fallback.

    All durations count from the moment the sidecar *sent* report `answers`; a push names the newest report received.
    `settings` is present when the sidecar's generation differs from the policy's. `lump_tokens` go into the bucket once
    a grant sequence, however often the message comes. `steps` replace `fill_rate` at their moments, in rising order.
    `inherited` is for a pod that has learned nothing yet, which others ignore.
    """

    policy: PolicyName
    policy_uid: ShortText
    policy_generation: Count
    grant_sequence: Count
    answers: Count
    fill_rate: Amount
    burst: Amount
    safe_rate: Amount
    next_report_seconds: Seconds
    rate_seconds: Seconds
    lease_seconds: Seconds
    mode: Mode
    lump_tokens: Amount = 0.0
    priority: Amount = 1.0
    reason: Sentence = ""
    ticket: Annotated[bytes, Meta(max_length=512)] = b""
    steps: Annotated[list[Step], Meta(max_length=16)] = []
    settings: PolicySettings | None = None
    ca_bundle: Annotated[str, Meta(max_length=65536)] = ""
    inherited: Inherited | None = None


class Recall(Message, frozen=True, omit_defaults=True, tag="recall"):
    """The operator needs part of a grant back now: run at `fill_rate` for the rest of it, and acknowledge.

    `grant_sequence` is a new one. The envelope stays as it was otherwise, and lies nowhere above `fill_rate`: later
    steps and the safe rate are at most that. Up to `tokens` of the bucket are asked for, too, as far as they are spare.
    """

    policy: PolicyName
    grant_sequence: Count
    fill_rate: Amount
    reason: Sentence = ""
    tokens: Amount = 0.0


class Refused(Message, frozen=True, omit_defaults=True, tag="refused"):
    """The operator will not serve `policy` (or, when empty, this stream). `code` follows HTTP's meaning."""

    code: Annotated[int, Meta(ge=400, le=599)]
    sentence: Sentence
    policy: Annotated[str, Meta(max_length=320)] = ""
    retry_after_seconds: Seconds = 0.0


class Bye(Message, frozen=True, omit_defaults=True, tag="bye"):
    """This operator ends or hands over: connect again after the given time."""

    reason: Sentence
    reconnect_after_seconds: Seconds = 0.0


Up = Hello | Report | Ack | Renew | Goodbye
Down = Assignment | Recall | Refused | Bye
