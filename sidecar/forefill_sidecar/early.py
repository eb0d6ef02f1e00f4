"""When a window is worth reporting before its end, so that tokens come within a second or two. Pure.

A part f of a window brings f of what the whole one is expected to, give or take sqrt(f) of its spread: arrivals of
different seconds are nearly independent. Only what changes the grant is worth a message, so demand above the band
counts where it is above the fill rate too, and demand below it where most of the grant lies idle.
"""

from dataclasses import dataclass
from math import inf, sqrt
from typing import Final, Literal, NamedTuple

from forefill_sidecar.forecast.predictor import Band, Predictor

Reason = Literal["demand", "queue", "slack", "declared"]
REASONS: Final[tuple[Reason, ...]] = ("demand", "queue", "slack", "declared")

LOOK_SECONDS: Final = 1.0
GAP_SECONDS: Final = 1.0
MOST_A_WINDOW: Final = 3
# A band is looked at up to ten times a window; wider by this, it is left about as often by chance as looked at once.
WIDENED: Final = 1.4
# A queue that the bucket serves within this is soon gone.
QUEUE_SECONDS: Final = 1.0
GROWN: Final = 1.25
SLACK_FROM: Final = 0.5
SLACK_SHARE: Final = 0.5
SLACK_GAP_WINDOWS: Final = 3.0


class Running(NamedTuple):
    """A window under way: tokens and seconds since its start. `declared` were announced for the whole of it."""

    elapsed: float
    interval: float
    offered: float
    declared: float
    backlog: float
    fill_rate: float

    def share(self) -> float:
        return min(1.0, self.elapsed / self.interval)


def highest(running: Running, band: Band) -> float:
    """Tokens that the window has rarely brought by now."""
    share = min(1.0, max(running.elapsed, LOOK_SECONDS) / running.interval)
    spread = WIDENED * max(0.0, band.high - band.mean) * sqrt(share)
    return running.declared + running.interval * (band.mean * share + spread)


def excess(running: Running, band: Band) -> float:
    """Tokens beyond what was expected by now; below 0: so many fewer."""
    return running.offered - running.declared - running.interval * band.mean * running.share()


def lowest(running: Running, band: Band) -> float:
    """Tokens that the window has nearly always brought by now."""
    share = running.share()
    return running.interval * (band.mean * share - WIDENED * max(0.0, band.mean - band.low) * sqrt(share))


@dataclass(slots=True)
class Watch:
    """What was told early in the running window, and when more may be. `told_backlog` is what the last report said."""

    quiet_until: float = -inf
    slack_from: float = -inf
    reported: int = 0
    excess: float = 0.0
    told_excess: float = 0.0
    told_backlog: float = 0.0
    # Seconds and tokens of the window when it was last looked at.
    seen: tuple[float, float] = (0.0, 0.0)

    def reason(self, now: float, running: Running, predictor: Predictor, quantile: float, news: bool) -> Reason | None:
        """Why to report now; None when there is no need, or none again so soon."""
        if self.is_quiet(now):
            return None
        if news:
            return "declared"
        if running.backlog > GROWN * self.told_backlog + QUEUE_SECONDS * running.fill_rate:
            return "queue"
        granted = running.fill_rate * running.elapsed
        lately = self._lately(running)
        if lately.offered > lately.fill_rate * max(lately.elapsed, LOOK_SECONDS):
            band = predictor.band(quantile)
            return "demand" if band and self._exceeds(running, lately, band) else None
        if running.offered < SLACK_SHARE * granted and self._slack_counts(now, running):
            band = predictor.band(quantile)
            return "slack" if band and running.offered < lowest(running, band) else None
        return None

    def _lately(self, running: Running) -> Running:
        """What came since the last look."""
        (elapsed, offered), self.seen = self.seen, (running.elapsed, running.offered)
        part = (running.elapsed - elapsed) / running.elapsed if running.elapsed > 0.0 else 1.0
        return running._replace(
            elapsed=running.elapsed - elapsed, offered=running.offered - offered, declared=part * running.declared
        )

    def _exceeds(self, running: Running, lately: Running, band: Band) -> bool:
        """The window, or its last second, lies above the band, and by more than was told already."""
        self.excess = excess(running, band)
        above = running.offered > highest(running, band) or lately.offered > highest(lately, band)
        return above and self.excess > GROWN * self.told_excess

    def is_quiet(self, now: float) -> bool:
        """Nothing more is told now, whatever happens."""
        return now < self.quiet_until or self.reported >= MOST_A_WINDOW

    def _slack_counts(self, now: float, running: Running) -> bool:
        return running.share() >= SLACK_FROM and now >= self.slack_from and not running.backlog

    def told(self, now: float, reason: Reason, running: Running) -> None:
        """An early report went out."""
        self.reported += 1
        self.quiet_until = now + GAP_SECONDS
        self.told_backlog = running.backlog
        if reason == "demand":
            self.told_excess = self.excess
        if reason == "slack":
            self.slack_from = now + SLACK_GAP_WINDOWS * running.interval

    def window_ended(self, backlog: float) -> None:
        self.reported, self.told_excess, self.told_backlog, self.seen = 0, 0.0, backlog, (0.0, 0.0)
