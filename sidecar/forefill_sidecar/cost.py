"""How many tokens a request costs. Pure but for the estimates, which learn from what responses say."""

import re
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from forefill_protocol.policysettings import CostRoute, CostSettings

NO_ROUTE: Final = -1
# An estimate follows the last twenty or so responses; before that it is their mean.
_FORGETTING: Final = 0.05
_NUMBER: Final = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,9})?")


class Price(Struct, frozen=True, gc=False):
    """What to reserve for a request. `route` is the index of the route it was found under, or NO_ROUTE.

    `said` is what its header said, where a response will tell; 0 for nothing.
    """

    tokens: float
    route: int
    said: float = 0.0


@dataclass(slots=True)
class Estimate:
    """Mean cost of a route's requests, newer ones counting more."""

    mean: float = 0.0
    count: int = 0

    def learn(self, actual: float) -> None:
        self.count += 1
        self.mean += (actual - self.mean) * max(_FORGETTING, 1.0 / self.count)


@dataclass(slots=True)
class Words:
    """What headers of a route's requests said, and what responses then did: means, newer ones counting more."""

    said: Estimate = field(default_factory=Estimate)
    actual: Estimate = field(default_factory=Estimate)

    def learn(self, said: float, actual: float) -> None:
        self.said.learn(said)
        self.actual.learn(actual)

    @property
    def worth(self) -> float:
        """What to multiply the next header with."""
        return self.actual.mean / self.said.mean if self.said.mean > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class CostRule:
    """The cost settings of a policy, made ready for each request. Names of headers are lower case, empty for none.

    `templates` are the routes' paths as the policy has them.
    """

    default: float
    header: bytes = b""
    routes: tuple[tuple[bytes, re.Pattern[bytes], float], ...] = ()
    per_kilobyte: float = 0.0
    pointer: tuple[str, ...] = ()
    reserve: float | None = None
    max_debt: float | None = None
    templates: tuple[str, ...] = ()
    estimates: dict[int, Estimate] = field(default_factory=dict)
    words: dict[int, Words] = field(default_factory=dict)

    def price(self, method: bytes, target: bytes, fields: dict[bytes, bytes], content_length: int) -> Price:
        """Tokens to reserve; `fields` maps lower-case names to lines as sent. What is no number counts as not there.

        Where responses tell what requests cost, a header counts for what it has been worth, and one that says 0 not at
        all.
        """
        route, base = self._route(method, target) if self.routes else (NO_ROUTE, self.default)
        said = 0.0
        if self.header and (declared := self._declared(fields)) is not None and (declared or not self.pointer):
            base = declared
            if self.pointer:
                said, base = declared, declared * self._worth(route)
        elif self.pointer:
            base = self._expected(route, base)
        return Price(base + self.of_bytes(content_length), route, said)

    def of_bytes(self, count: int) -> float:
        """What a body of that size costs on top."""
        return self.per_kilobyte * count / 1000.0

    def learn(self, route: int, actual: float, said: float = 0.0) -> None:
        """A request of that route turned out to cost `actual`; its header `said` something, or nothing."""
        self.estimates.setdefault(route, Estimate()).learn(actual)
        if said > 0.0:
            self.words.setdefault(route, Words()).learn(said, actual)

    def debt_allowed(self, burst: float) -> float:
        return burst if self.max_debt is None else self.max_debt

    def _expected(self, route: int, base: float) -> float:
        estimate = self.estimates.get(route)
        if estimate is not None:
            return estimate.mean
        return base if self.reserve is None else self.reserve

    def _worth(self, route: int) -> float:
        words = self.words.get(route)
        return words.worth if words else 1.0

    def _declared(self, fields: dict[bytes, bytes]) -> float | None:
        line = fields.get(self.header)
        if line is None:
            return None
        value = line[len(self.header) + 1 :].strip(b" \t")
        return float(value) if _NUMBER.fullmatch(value) else None

    def _route(self, method: bytes, target: bytes) -> tuple[int, float]:
        path = target.partition(b"?")[0]
        for index, (wanted, pattern, cost) in enumerate(self.routes):
            if wanted in (b"", method) and pattern.fullmatch(path):
                return index, cost
        return NO_ROUTE, self.default


def rule(settings: CostSettings) -> CostRule:
    return CostRule(
        default=settings.default,
        header=settings.header.lower().encode(),
        routes=tuple((each.method.encode(), _pattern(each), each.cost) for each in settings.routes),
        per_kilobyte=settings.per_kilobyte,
        pointer=_segments(settings.response_pointer),
        reserve=settings.reserve,
        max_debt=settings.max_debt,
        templates=tuple(each.path for each in settings.routes),
    )


def _pattern(route: CostRoute) -> re.Pattern[bytes]:
    path, has_rest = route.path.removesuffix("/**"), route.path.endswith("/**")
    segments = [
        "[^/]+" if segment.startswith("{") and segment.endswith("}") else re.escape(segment)
        for segment in path.split("/")
    ]
    return re.compile(("/".join(segments) + ("(?:/.*)?" if has_rest else "")).encode(), re.DOTALL)


def _segments(pointer: str) -> tuple[str, ...]:
    """RFC 6901: `~1` stands for a slash inside a name, `~0` for a tilde."""
    return tuple(segment.replace("~1", "/").replace("~0", "~") for segment in pointer.split("/")[1:])
