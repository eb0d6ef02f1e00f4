"""What `/metrics` says of the stream to the operator and of the lease of each policy."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from forefill_sidecar.agent import Agent, Member
from forefill_sidecar.early import REASONS
from forefill_sidecar.metrics import PREFIX, Family
from forefill_sidecar.reporter import Reporter

STATES: Final = ("none", "active", "expired", "abandoned")


_COUNTERS: Final[Sequence[tuple[str, str, Callable[[Member], float]]]] = (
    ("recalls", "Grants of which the operator took part back.", lambda each: each.counts.recalls),
    ("lumps", "Grants that came with lump tokens.", lambda each: each.counts.lumps),
    ("lump_tokens", "Lump tokens put into the bucket.", lambda each: each.counts.lump_tokens),
    ("given_tokens", "Tokens given up for clients whose requests waited.", lambda each: each.counts.given_tokens),
    ("declared_tokens", "Tokens of declared work that came.", lambda each: each.counts.declared_tokens),
    ("forecast_windows", "Windows whose forecast was scored.", lambda each: each.counts.scored_windows),
    ("covered_windows", "Scored windows at or below their p95.", lambda each: each.counts.covered_windows),
    ("gap_windows", "Windows that nobody measured.", lambda each: each.counts.gap_windows),
    ("forecast_tokens", "Tokens that scored windows were forecast to bring.", lambda each: each.counts.forecast_tokens),
    ("forecast_error_tokens", "Absolute errors of these forecasts.", lambda each: each.counts.error_tokens),
)


class StreamFigures:
    def __init__(self) -> None:
        self._events: Counter[str] = Counter()

    def count(self, event: str) -> None:
        self._events[event] += 1

    def families(self, reporter: Reporter, agent: Agent) -> Sequence[Family]:
        now = agent.clock()
        events = sorted(self._events.items())
        states = [
            ("", (("policy", member.policy), ("state", state)), float(member.tenure.state(now) == state))
            for member in agent.members
            for state in STATES
        ]
        rates = [("", (("policy", member.policy),), member.tenure.allowance(now).fill_rate) for member in agent.members]
        forecasts = [
            ("", (("policy", member.policy),), member.predictor.forecasts()[0].mean) for member in agent.members
        ]
        return [
            *(_counter(agent, *each) for each in _COUNTERS),
            Family(
                PREFIX + "declared_reliability",
                "gauge",
                "Share of what was declared lately that came, over all who declare.",
                [
                    ("", (("policy", member.policy),), member.listener.expectations.reliability.overall())
                    for member in agent.members
                ],
            ),
            Family(
                PREFIX + "early_reports",
                "counter",
                "Reports sent inside a window, by reason.",
                [
                    ("_total", (("policy", member.policy), ("reason", reason)), member.counts.early_reports[reason])
                    for member in agent.members
                    for reason in REASONS
                ],
            ),
            Family(PREFIX + "stream_connected", "gauge", "1 while the stream is open.", [("", (), reporter.connected)]),
            Family(
                PREFIX + "stream_events",
                "counter",
                "What happened to the stream.",
                [("_total", (("event", event),), count) for event, count in events],
            ),
            Family(PREFIX + "lease_state", "gauge", "1 for the state that the policy's lease is in.", states),
            Family(PREFIX + "allowed_tokens_per_second", "gauge", "Fill rate that the lease allows now.", rates),
            Family(PREFIX + "forecast_tokens_per_second", "gauge", "Demand expected in the next window.", forecasts),
        ]


def _counter(agent: Agent, name: str, help_: str, read: Callable[[Member], float]) -> Family:
    samples = [("_total", (("policy", member.policy),), float(read(member))) for member in agent.members]
    return Family(PREFIX + name, "counter", help_, samples)
