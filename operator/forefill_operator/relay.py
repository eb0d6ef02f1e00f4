"""What operators say to each other through the store: messages of sidecars to the owner of a policy, and answers back.

The store authenticates operators; `client` is what the sender's API server said of the pod.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from forefill_operator.client import Client
from forefill_protocol.codec import UNREADABLE


class Forwarded(Struct, frozen=True, array_like=True, tag="forwarded", gc=False):
    """A message of `client`, whose stream is with the operator `front`: the part that concerns the receiver."""

    front: str
    client: Client
    message: bytes


class Left(Struct, frozen=True, array_like=True, tag="left", gc=False):
    """The pod's stream with `front` is gone."""

    front: str
    pod_uid: str


class Answer(Struct, frozen=True, array_like=True, tag="answer", gc=False):
    """A message down for the pod."""

    pod_uid: str
    message: bytes


Relayed = Forwarded | Left | Answer


class BadRelay(ValueError):
    """The bytes are no list of the above."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Relayed])


def encode(messages: Sequence[Relayed]) -> bytes:
    return _encoder.encode(messages)


def decode(data: bytes) -> list[Relayed]:
    """Raises BadRelay."""
    try:
        messages: list[Relayed] = _decoder.decode(data)
    except UNREADABLE as error:
        raise BadRelay(str(error)) from None
    return messages
