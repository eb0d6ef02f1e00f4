"""What the simulated sidecars report: windows of real traces where there are some, else of a made-up load."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

from forefill_protocol.messages import Forecast, PolicyReport, Spread

TRACE = Path("servegen/data/language/m-small")
MADE_UP_WINDOWS = 360


def rates(folder: Path | None) -> tuple[list[list[float]], str]:
    """Tokens/s by trace and window, and where they are from. Without `folder`, a random walk with bursts."""
    files = sorted((folder / TRACE).glob("chunk-*-trace.csv")) if folder else []
    traces = [found for file in files if (found := _column(file)) and max(found) > 0.0]
    if traces:
        return traces, f"{len(traces)} clients of ServeGen"
    return [_made_up(random.Random(seed)) for seed in range(40)], "a made-up load (FOREFILL_DATA names no traces)"


def _column(file: Path) -> list[float]:
    with file.open(newline="") as lines:
        return [float(row[1]) for row in csv.reader(lines) if len(row) > 1 and row[1].replace(".", "", 1).isdigit()]


def _made_up(dice: random.Random) -> list[float]:
    level, found = dice.uniform(0.5, 20.0), []
    for _ in range(MADE_UP_WINDOWS):
        level = max(0.1, level + dice.gauss(0.0, 0.05 * level))
        found.append(level * (4.0 if dice.random() < 0.02 else dice.uniform(0.7, 1.3)))
    return found


class Population:
    """`clients` sidecars that each follow one trace from a place of their own."""

    def __init__(self, traces: Sequence[Sequence[float]], clients: int, seed: int) -> None:
        dice = random.Random(seed)
        self._traces = traces
        self._at = [
            (number % len(traces), dice.randrange(len(traces[number % len(traces)]))) for number in range(clients)
        ]

    def report(
        self, number: int, window: int, policy: str, seconds: float, grant: int, generation: int
    ) -> PolicyReport:
        """The entry that client `number` sends about its `window`th interval of `seconds`."""
        trace, offset = self._at[number]
        values = self._traces[trace]
        rate = values[(offset + window) % len(values)]
        offered = rate * seconds
        coming = [_forecast(values[(offset + window) % len(values)], 1.0 + 0.1 * step) for step in range(3)]
        return PolicyReport(
            policy=policy,
            window_seconds=seconds,
            offered=offered,
            admitted=offered,
            refused=0.0,
            backlog=0.0,
            requests=max(1, int(offered)),
            forecasts=coming,
            grant_sequence=grant,
            policy_generation=generation,
            request_bytes=Spread(mean=900.0, p50=700.0, p95=2500.0),
            upstream_seconds=Spread(mean=0.08, p50=0.06, p95=0.2),
        )


def _forecast(mean: float, widening: float) -> Forecast:
    return Forecast(mean=mean, p50=0.97 * mean, p90=mean * (1.0 + 0.3 * widening), p95=mean * (1.0 + 0.45 * widening))
