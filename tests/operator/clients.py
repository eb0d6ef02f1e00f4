"""Sidecars of one book, on a clock of the test's."""

from collections.abc import Callable
from typing import Any

from forefill_operator.book import Book
from forefill_operator.client import Client
from forefill_operator.issuer import Deliveries
from forefill_operator.learning import Learning
from forefill_operator.policy import TokenPolicy
from forefill_protocol.messages import Ack, Assignment, Forecast, Holding, PolicyReport, Recall

Make = Callable[..., TokenPolicy]


class Clients:
    """Sidecars that acknowledge at once whatever they are sent."""

    def __init__(self, policy: TokenPolicy, *names: str) -> None:
        self.book = Book(policy, Learning(), 0.0)
        self.grants: dict[str, Assignment] = {}
        self.recalls: list[tuple[str, float]] = []
        self.lumps: list[tuple[str, float]] = []
        self.sequence = 0
        # What is really spare in whose bucket, what was asked of whom, and what was given up in all, tokens.
        self.spare: dict[str, float] = {}
        self.asked: list[tuple[str, float]] = []
        self.given = self.overstated = 0.0
        self.clients = {name: Client("ai", "default", name, name, labels={"app": name}) for name in names}
        for name, client in self.clients.items():
            answer = self.book.hello(client, Holding("ai/llm"), 0.0)
            self.take([(name, answer)], 0.0)

    def report(self, name: str, rate: float, now: float, **changes: Any) -> Assignment:
        self.sequence += 1
        held = self.grants[name]
        facts: dict[str, Any] = {
            "policy": "ai/llm",
            "window_seconds": 10.0,
            "offered": 10.0 * rate,
            "admitted": 10.0 * rate,
            "refused": 0.0,
            "backlog": 0.0,
            "requests": 20,
            "forecasts": [Forecast(rate, rate, rate + 0.8, rate + 1.0)],
            "grant_sequence": held.grant_sequence,
            "policy_generation": held.policy_generation,
        }
        entry = PolicyReport(**(facts | changes))
        self.take(self.book.report(self.clients[name], entry, self.sequence, True, now), now)
        return self.grants[name]

    def queue(self, name: str, tokens: float, now: float) -> None:
        """An early report of so many tokens that wait."""
        part: dict[str, Any] = {"early": True, "window_seconds": 2.0, "offered": tokens + 20.0, "admitted": 20.0}
        self.report(name, 10.0, now, backlog=tokens, **part)

    def tick(self, now: float) -> None:
        self.take(self.book.tick(now), now)

    def gives(self, name: str, message: Assignment | Recall) -> float:
        """As many tokens as are asked for, and there."""
        if not isinstance(message, Recall) or not message.tokens:
            return 0.0
        self.asked.append((name, round(message.tokens, 6)))
        given = min(message.tokens, self.spare.get(name, 0.0))
        self.spare[name] = self.spare.get(name, 0.0) - given
        self.given += given
        return given + self.overstated

    def take(self, deliveries: Deliveries, now: float) -> None:
        for name, message in deliveries:
            if isinstance(message, Recall):
                self.recalls.append((name, round(message.fill_rate, 6)))
            else:
                assert isinstance(message, Assignment)
                self.grants[name] = message
                if message.lump_tokens:
                    self.lumps.append((name, round(message.lump_tokens, 6)))
        for name, message in deliveries:
            assert isinstance(message, Assignment | Recall)
            tokens, generation = self.gives(name, message), self.book.policy.generation
            ack = Ack(message.policy, message.grant_sequence, generation, tokens=tokens)
            self.take(self.book.acknowledge(name, ack, now), now)


def overloaded(make_policy: Make) -> Clients:
    """Two that have all there is but the pool, and one that needs little."""
    made = Clients(make_policy(), "big", "large", "small")
    for now in (10.0, 20.0, 30.0):
        for name, rate in (("big", 250.0), ("large", 200.0), ("small", 10.0)):
            made.report(name, rate, now)
    made.tick(31.0)
    made.recalls.clear()
    made.lumps.clear()
    return made
