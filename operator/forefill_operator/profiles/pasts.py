"""Everything that is remembered of workloads, within bounds."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from forefill_operator.profiles.days import Days
from forefill_operator.profiles.past import MOST_RATE, Fitted, Past

# Pairs of policy and workload; at most 160 kB each.
MOST = 400
# Whoever was heard of within this time is not forgotten for somebody new.
KEPT_SECONDS = 3600.0


class Key(Struct, frozen=True):
    """`policy` and `workload` with their namespaces: ai/llm, shop/Deployment/web."""

    policy: str
    workload: str


class Kept(Struct):
    """What outlives the operator: no windows, for these would be old."""

    policy: str
    workload: str
    interval: Annotated[float, Meta(gt=0.0, le=1e9)]
    days: Days
    scale: Annotated[float, Meta(ge=0.0, le=MOST_RATE)]
    fitted: Fitted | None = None


class Pasts:
    """In the order in which they were last heard of."""

    def __init__(self) -> None:
        self._known: dict[Key, Past] = {}

    def __iter__(self) -> Iterator[tuple[Key, Past]]:
        return iter(list(self._known.items()))

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Past | None:
        return self._known.get(key)

    def heard(self, key: Key, interval: float, now: float) -> Past | None:
        """The past to go on with; windows of another length than before begin anew. None when there is no room."""
        past = self._known.pop(key, None)
        if past is None and not self._has_room(now):
            return None
        if past is None or past.interval != interval:
            past = Past(interval, past.days, past.scale) if past else Past(interval)
        self._known[key] = past
        return past

    def _has_room(self, now: float) -> bool:
        if len(self._known) < MOST:
            return True
        oldest = next(iter(self._known))
        heard_at = self._known[oldest].heard_at
        if heard_at is not None and now - heard_at < KEPT_SECONDS:
            return False
        del self._known[oldest]
        return True

    def kept(self) -> list[Kept]:
        return [
            Kept(key.policy, key.workload, past.interval, past.days, min(past.scale, MOST_RATE), past.fitted)
            for key, past in self._known.items()
        ]

    def restore(self, kept: list[Kept]) -> None:
        """Begin with what an earlier operator remembered."""
        for each in kept[-MOST:]:
            past = Past(each.interval, each.days, each.scale, each.fitted)
            self._known[Key(each.policy, each.workload)] = past
