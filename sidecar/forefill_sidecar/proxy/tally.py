"""Counters of one listener's connections, beside the tokens that the meter counts."""

from dataclasses import dataclass, field

from forefill_sidecar.histogram import Distribution


@dataclass(slots=True)
class Tally:
    """All but `clients_open` and `upstream_open` only rise. `answers` counts the sidecar's own responses by status."""

    clients_open: int = 0
    clients_total: int = 0
    upstream_open: int = 0
    upstream_total: int = 0
    upstream_failures: int = 0
    upstream_retries: int = 0
    client_aborts: int = 0
    responses: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(1, 6), 0))
    answers: dict[int, int] = field(default_factory=dict)
    upstream_seconds: Distribution = field(default_factory=Distribution)

    def answered(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1

    def responded(self, status: int, seconds: float) -> None:
        """The upstream answered after so long; kept by class (2 for 2xx) to stay few."""
        self.upstream_seconds.add(seconds)
        self.responses[status // 100 if status < 600 else 5] += 1

    def switched(self) -> None:
        """The upstream opened a tunnel."""
        self.responses[1] += 1
