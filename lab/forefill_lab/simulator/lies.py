"""What a client may say that is not so. Pure: a message to the message that is sent instead."""

from collections.abc import Sequence

import msgspec

from forefill_lab.simulator.demand import Unusable
from forefill_protocol import messages


def tell(message: messages.Up, factor: float) -> messages.Up:
    """Reports with every forecast multiplied; whatever else is said is true."""
    if factor == 1.0 or not isinstance(message, messages.Report):
        return message
    return messages.Report(message.sequence, [_multiplied(entry, factor) for entry in message.entries])


def _multiplied(entry: messages.PolicyReport, factor: float) -> messages.PolicyReport:
    forecasts = [
        messages.Forecast(each.mean * factor, each.p50 * factor, each.p90 * factor, each.p95 * factor)
        for each in entry.forecasts
    ]
    return msgspec.structs.replace(entry, forecasts=forecasts)


def parse(texts: Sequence[str], clients: Sequence[str]) -> dict[int, float]:
    """CLIENT=xFACTOR, by the client's index. Raises Unusable."""
    lies = {}
    for text in texts:
        name, _, kind = text.rpartition("=")
        if name not in clients:
            raise Unusable(f"--lie {text}: the demand has no client {name!r}")
        try:
            factor = float(kind.removeprefix("x"))
        except ValueError:
            factor = -1.0
        if not (kind.startswith("x") and 0.0 <= factor <= 1e6):
            raise Unusable(f"--lie {text}: {kind!r} must be x and a factor from 0 to 1000000, such as x1.5")
        lies[list(clients).index(name)] = factor
    return lies
