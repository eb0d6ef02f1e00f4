"""What a client may say that is not so. Pure: a message to the message that is sent instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from forefill_lab.simulator.demand import Unusable
from forefill_protocol import messages

Kind = Literal["forecast", "burn", "meter", "cost"]
LARGEST_FACTOR = 1e6
ALLOWED = "xF (every forecast times F), burn[:HONEST:LYING:xF] (so many windows each, in turn), meter:xF or cost:xF"


@dataclass(frozen=True)
class Lie:
    """`factor` on what kind of number; of `burn`, in `lying` windows after every `honest` ones.

    `cost` is told to the sidecar, in a header of every request; all reports are true.
    """

    kind: Kind
    factor: float
    honest: int = 0
    lying: int = 1

    def factor_in(self, window: int) -> float:
        """The factor on what is said of future demand, by the number of the report."""
        if self.kind == "cost":
            return 1.0
        return self.factor if window % (self.honest + self.lying) >= self.honest else 1.0

    def tell(self, message: messages.Up) -> messages.Up:
        """The report that goes out instead; every other message is true."""
        if not isinstance(message, messages.Report):
            return message
        factor = self.factor_in(message.sequence)
        if factor == 1.0:
            return message
        return messages.Report(message.sequence, [self._bent(entry, factor) for entry in message.entries])

    def _bent(self, entry: messages.PolicyReport, factor: float) -> messages.PolicyReport:
        forecasts = [
            messages.Forecast(each.mean * factor, each.p50 * factor, each.p90 * factor, each.p95 * factor)
            for each in entry.forecasts
        ]
        if self.kind != "meter":
            return msgspec.structs.replace(entry, forecasts=forecasts)
        return msgspec.structs.replace(
            entry,
            forecasts=forecasts,
            offered=entry.offered * factor,
            admitted=entry.admitted * factor,
            backlog=entry.backlog * factor,
        )


def parse(texts: Sequence[str], clients: Sequence[str]) -> Mapping[int, Lie]:
    """CLIENT=KIND, by the client's index. Raises Unusable."""
    lies = {}
    for text in texts:
        name, _, kind = text.rpartition("=")
        if name not in clients:
            raise Unusable(f"--lie {text}: the demand has no client {name!r}")
        lies[list(clients).index(name)] = _lie(text, kind)
    return lies


def _lie(text: str, kind: str) -> Lie:
    match kind.split(":"):
        case ["burn"]:
            return Lie("burn", 1.5, 200, 10)
        case ["burn", honest, lying, factor] if _whole(honest) and _whole(lying):
            return Lie("burn", _factor(text, factor), int(honest), int(lying))
        case ["meter" | "cost" as what, factor]:
            return Lie(what, _factor(text, factor))
        case [factor]:
            return Lie("forecast", _factor(text, factor))
    raise Unusable(f"--lie {text}: {kind!r} must be {ALLOWED}")


def _whole(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) <= 1_000_000


def _factor(text: str, factor: str) -> float:
    try:
        value = float(factor.removeprefix("x"))
    except ValueError:
        value = -1.0
    if not factor.startswith("x") or not 0.0 <= value <= LARGEST_FACTOR:
        raise Unusable(f"--lie {text}: must be {ALLOWED}, F from 0 to {LARGEST_FACTOR:g}")
    return value
