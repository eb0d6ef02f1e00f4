"""Work that a client has declared, in the operator's time. Pure."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from forefill_protocol.messages import Expectation

# What is declared to come at once takes this long.
LEAST_SECONDS = 1.0


class Work(Struct, frozen=True, gc=False):
    """Declared work: `rate`, tokens/s, from `begins` to `ends`, monotonic seconds."""

    begins: float
    ends: float
    rate: float


def declared(expectations: Sequence[Expectation], now: float, highest_rate: float) -> tuple[Work, ...]:
    """Declared work in the operator's time, earliest first; what comes to nothing is none."""
    work: list[Work] = []
    for expectation in expectations:
        if expectation.tokens <= 0.0:
            continue
        seconds = max(expectation.for_seconds, LEAST_SECONDS)
        begins = now + expectation.after_seconds
        work.append(Work(begins, begins + seconds, min(expectation.tokens / seconds, highest_rate)))
    work.sort(key=lambda each: (each.begins, each.ends, each.rate))
    return tuple(work)


def declared_rate(work: Sequence[Work], begin: float, end: float) -> float:
    """The most that is declared for any moment from `begin` to `end`, tokens/s."""
    if not work:
        return 0.0
    moments = [begin, *(each.begins for each in work if begin < each.begins <= end)]
    return max(sum(w.rate for w in work if w.begins <= moment < w.ends) for moment in moments)


def declared_tokens(work: Sequence[Work], begin: float, end: float) -> float:
    """What is declared to come from `begin` to `end`, tokens."""
    return sum(each.rate * max(min(each.ends, end) - max(each.begins, begin), 0.0) for each in work)


def believed_work(work: tuple[Work, ...], trust: float) -> tuple[Work, ...]:
    """As much of it as the client's word is worth: who is not trusted declares nothing."""
    if trust >= 1.0 or not work:
        return work
    return tuple(replace(each, rate=trust * each.rate) for each in work) if trust > 0.0 else ()
