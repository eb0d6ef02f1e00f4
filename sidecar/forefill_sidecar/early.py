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
# Waiting requests are looked at, and told of, sooner.
SOON_SECONDS: Final = 0.05
GAP_SECONDS: Final = 0.1
MOST_A_WINDOW: Final = 10
# A band is looked at up to ten times a window; wider by this, it is left about as often by chance as looked at once.
WIDENED: Final = 1.4
# A queue that the bucket serves within this is soon gone.
QUEUE_SECONDS: Final = 0.25
GROWN: Final = 1.25
# Where telling of a queue brought less than this part of it at once, nobody has more: the next time is so many times
# as far away.
HELPFUL: Final = 0.5
LONGER: Final = 2.0
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
    queue_from: float = -inf
    queue_gap: float = GAP_SECONDS
    slack_from: float = -inf
    reported: int = 0
    excess: float = 0.0
    told_excess: float = 0.0
    told_backlog: float = 0.0
    # Tokens of the windows before, and two moments LOOK_SECONDS apart or more with all that had come by then.
    ended_offered: float = 0.0
    seen: tuple[tuple[float, float], tuple[float, float]] | None = None

    def reason(self, now: float, running: Running, predictor: Predictor, quantile: float, news: bool) -> Reason | None:
        """Why to report now; None when there is no need, or none again so soon."""
        if self.is_quiet(now):
            return None
        if news:
            return "declared"
        if self._queue_counts(now, running):
            return "queue"
        granted = running.fill_rate * running.elapsed
        lately = self._last_second(now, running)
        if lately.offered > lately.fill_rate * max(lately.elapsed, LOOK_SECONDS):
            band = predictor.band(quantile)
            return "demand" if band and self._exceeds(running, lately, band) else None
        if running.offered < SLACK_SHARE * granted and self._slack_counts(now, running):
            band = predictor.band(quantile)
            return "slack" if band and running.offered < lowest(running, band) else None
        return None

    def _queue_counts(self, now: float, running: Running) -> bool:
        self.told_backlog = min(self.told_backlog, running.backlog)
        if running.backlog <= 0.0:
            self.queue_from, self.queue_gap = -inf, GAP_SECONDS
        grown = running.backlog > GROWN * self.told_backlog + QUEUE_SECONDS * running.fill_rate
        return grown and now >= self.queue_from

    def lately(self, now: float, running: Running) -> tuple[float, float]:
        """Seconds, a second or two, and the tokens that came in them."""
        total = self.ended_offered + running.offered
        if self.seen is None:
            begun = (now - running.elapsed, self.ended_offered)
            self.seen = (begun, begun)
        if now >= self.seen[1][0] + LOOK_SECONDS:
            self.seen = (self.seen[1], (now, total))
        since, offered = self.seen[0]
        return now - since, total - offered

    def _last_second(self, now: float, running: Running) -> Running:
        seconds, offered = self.lately(now, running)
        part = min(seconds / running.elapsed, 1.0) if running.elapsed > 0.0 else 1.0
        return running._replace(elapsed=seconds, offered=offered, declared=part * running.declared)

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
        if reason == "queue":
            self.queue_from = now + self.queue_gap
            self.queue_gap = min(LONGER * self.queue_gap, running.interval)
        if reason == "demand":
            self.told_excess = self.excess
        if reason == "slack":
            self.slack_from = now + SLACK_GAP_WINDOWS * running.interval

    def helped(self, tokens: float) -> None:
        """So many came at once."""
        if tokens >= HELPFUL * self.told_backlog:
            self.queue_from, self.queue_gap = -inf, GAP_SECONDS

    def window_ended(self, backlog: float, offered: float) -> None:
        self.reported, self.told_excess, self.told_backlog = 0, 0.0, backlog
        self.ended_offered += offered
