"""Whatever bytes come from a network, a store, a disk or an environment: a value, or the one error that is promised."""

import functools
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from bench.fuzz import must
from msgspec import Struct

from forefill_operator import records, relay, tickets
from forefill_operator.store import redis_store
from forefill_protocol import codec, podsettings
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.keepsake import FILE, Keepsake
from forefill_sidecar.state import StateFile

POLICY = "ns/llm"
KEY = tickets.Key(b"k" * 32, 0.0)
WALL_TIME = 1e9


def up(data: bytes) -> None:
    """Any number that gets past the decoder is finite and not negative."""
    _message(codec.decode_up, data)


def down(data: bytes) -> None:
    _message(codec.decode_down, data)


def _message(decode: Any, data: bytes) -> None:
    try:
        message = decode(data)
    except codec.BadFrame as bad:
        must(bad.sentence, bad)
        must(bad.code in (400, 413, 505), bad)
        return
    numbers = list(_numbers(message))
    assert all(math.isfinite(number) and number >= -100 for number in numbers), message
    assert decode(codec.encode(message)) == message


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _numbers(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value


def record(data: bytes) -> None:
    try:
        found = records.decode(data)
    except records.BadRecord:
        return
    assert all(math.isfinite(number) for number in (found.held.rate, found.held.safe_rate, found.held.burst)), found


def relayed(data: bytes) -> None:
    try:
        relay.decode(data)
    except relay.BadRelay:
        pass


def owner(data: bytes) -> None:
    try:
        redis_store._owner(data)
    except ValueError:
        pass  # A named fault for whoever asked: see RedisStore.


def ticket(data: bytes) -> None:
    """As it comes, and signed: a key that got out must not stop an operator."""
    for sealed in (data, _signed(data)):
        try:
            tickets.unseal(sealed, [KEY])
        except tickets.BadTicket:
            pass


def _signed(data: bytes) -> bytes:
    signer = tickets._signer(KEY.secret)
    return signer.start + data + signer.mac(signer.start + data)


def ticket_keys(data: bytes) -> None:
    try:
        tickets.decode_keys(data)
    except ValueError:
        pass


def settings(data: bytes) -> None:
    """The environment gives a text, with what is no UTF-8 in it as lone surrogates."""
    try:
        podsettings.decode(data.decode(errors="surrogateescape"))
    except ValueError as error:
        must(type(error) is ValueError, repr(error))
        must(podsettings.VARIABLE in str(error), error)


@functools.cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="forefill-fuzz-")
    _folders.append(folder)
    return Path(folder.name)


_folders: list["tempfile.TemporaryDirectory[str]"] = []


def kept(data: bytes) -> None:
    """A file of assignments; when it can be read, nothing in it is from the future."""
    (_folder() / FILE).write_bytes(data)
    assert all(each.counted_from <= WALL_TIME for each in Keepsake(_folder()).load(WALL_TIME))


def learned(data: bytes) -> None:
    """A file of what was learned: whatever is in it, forecasts stay finite and go on."""
    state = StateFile(_folder(), POLICY)
    state.write(data)
    predictor, expectations = Predictor("Ensemble", 3), Expectations()
    state.load(predictor, expectations, 100.0, WALL_TIME)
    forecasts = predictor.forecasts()
    predictor.observe(10.0)
    for each in (*forecasts, *predictor.forecasts()):
        assert all(math.isfinite(number) and number >= 0.0 for number in _numbers(each)), each
    json.dumps(msgspec.to_builtins(expectations.encode(100.0)))
