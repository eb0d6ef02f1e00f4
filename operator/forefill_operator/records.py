"""What is kept of each client outside the operator: enough for another one to go on without a break. Pure."""

from collections.abc import Iterator
from math import inf

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from forefill_operator import grants
from forefill_operator.book import Book
from forefill_operator.client import Client
from forefill_operator.demand import Demand
from forefill_operator.envelope import Held
from forefill_operator.member import Member
from forefill_protocol.codec import UNREADABLE
from forefill_protocol.messages import Assignment


class Record(Struct, frozen=True, array_like=True, gc=False):
    """The newest grant, and in `held` the most that the client may be using while it has not acknowledged it.

    `generation` of the policy is acknowledged; `demand` is from the newest report. No moments are kept, since two
    operators share no clock: whoever reads the record counts every time in it from then on, which is never too short.
    """

    client: Client
    assignment: Assignment
    held: Held
    generation: int
    demand: Demand | None = None


class BadRecord(ValueError):
    """The bytes are no record."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    """Raises BadRecord."""
    try:
        record = _decoder.decode(data)
    except UNREADABLE as error:
        raise BadRecord(str(error)) from None
    for number in _numbers(record):
        if not 0.0 <= number < inf:
            raise BadRecord(f"a rate or an amount is {number}")
    return record


def _numbers(record: Record) -> Iterator[float]:
    """Those that only an operator ever writes; the messages' own are bounded by their types."""
    yield from (record.held.rate, record.held.safe_rate, record.held.burst)
    if record.demand is not None:
        yield from msgspec.structs.astuple(record.demand)


def record_of(book: Book, pod_uid: str, now: float) -> Record | None:
    """None for a client without a grant."""
    member = book.members.get(pod_uid)
    if member is None or member.assignment is None:
        return None
    held = book.ledger.accounts[pod_uid].held_at(now)
    return Record(member.client, member.assignment, held, member.generation, member.demand)


def resume(book: Book, record: Record, now: float) -> None:
    """Go on serving the client of `record` as if the grant had been answered at `now`."""
    spec, assignment, uid = book.policy.spec, record.assignment, record.client.pod_uid
    member = book.members[uid] = Member(record.client)
    member.brings(assignment.grant_sequence)
    member.heard(assignment.answers, spec.report, now)
    member.connected = False
    member.generation = record.generation
    member.assignment = assignment
    if record.demand is None:
        book.planner.meet(member)
    else:
        book.planner.expect(member, record.demand, now)
    book.planner.promise(member, assignment.fill_rate)
    book.planner.granted(member)
    most = replace(
        assignment,
        fill_rate=max(record.held.rate, assignment.fill_rate),
        safe_rate=max(record.held.safe_rate, assignment.safe_rate),
        burst=max(record.held.burst, assignment.burst),
        steps=[],
    )
    book.ledger.resume(uid, grants.envelope(most, now, spec), now)
