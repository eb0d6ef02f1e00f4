"""What the operator remembers of one client of one policy, beside its account in the ledger."""

from math import inf

from forefill_operator.appraisal import Appraisal
from forefill_operator.client import Client
from forefill_operator.demand import Demand, Window
from forefill_operator.envelope import CLOCK_MARGIN
from forefill_operator.policy import REPORT_MARGIN_SECONDS
from forefill_operator.spec import ReportSpec
from forefill_operator.work import Work
from forefill_protocol.messages import Assignment

# Sequences a sidecar may bring along; beyond them a claim can't be one of a grant.
HIGHEST_CLAIMED_SEQUENCE = 2**52


class Member:
    """`answers` is the newest report received (0: the Hello) at `received_at`; grants count from there.

    `row` is its place in the roster, -1 before it has one. `window` is what the running window has brought so far,
    `forecast` the mean that the client itself expects of the next one, `work` what it has declared, or what took its
    forecast by surprise: to `level`, tokens/s, from `surprised_from` until `surprised_until`. `generation` of the
    policy is acknowledged; what is said of grants before `current_from` is of the past.
    """

    __slots__ = (
        "answers",
        "appraisal",
        "assignment",
        "client",
        "connected",
        "current_from",
        "demand",
        "fallen",
        "falls",
        "forecast",
        "generation",
        "level",
        "priority",
        "received_at",
        "report",
        "row",
        "selected",
        "sequence",
        "surprised_from",
        "surprised_until",
        "window",
        "work",
    )

    def __init__(self, client: Client) -> None:
        self.client = client
        self.connected = True
        self.selected = True
        self.row = -1
        self.demand: Demand | None = None
        self.priority = 1.0
        self.appraisal: Appraisal | None = None
        self.forecast: float | None = None
        self.window = Window()
        self.surprised_from = self.surprised_until = -inf
        self.level = 0.0
        self.work: tuple[Work, ...] = ()
        self.assignment: Assignment | None = None
        self.falls: tuple[tuple[float, float], ...] = ()
        self.fallen: float | None = None
        self.sequence = 0
        self.generation = -1
        self.current_from = 0
        self.answers = 0
        self.received_at = float("-inf")
        self.report: ReportSpec | None = None

    def heard(self, answers: int, report: ReportSpec, now: float) -> None:
        """A Hello or report came: grants count from here, on the policy's times as they are at this moment."""
        self.answers, self.received_at, self.report = answers, now, report
        self.connected = True

    def acknowledge(self, sequence: int, generation: int) -> None:
        """The sidecar enforces `generation`; believed only if it has had a grant that carried it."""
        if sequence >= self.current_from:
            self.generation, self.current_from = generation, sequence

    def policy_changed(self) -> None:
        self.generation = -1
        self.current_from = self.sequence + 1

    def brings(self, sequence: int) -> None:
        """The client says it holds this grant; sequences go on above it, whoever gave it out."""
        if self.sequence < sequence <= HIGHEST_CLAIMED_SEQUENCE:
            self.sequence = sequence
            self.current_from = sequence + 1

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    @property
    def rate(self) -> float:
        """The rate of the newest grant, as of the last `settle`."""
        if self.assignment is None:
            return 0.0
        return self.assignment.fill_rate if self.fallen is None else self.fallen

    def granted(self, assignment: Assignment, falls: tuple[tuple[float, float], ...] = ()) -> None:
        """The newest grant, and when its rate falls by itself."""
        self.assignment, self.falls, self.fallen = assignment, falls, None

    def settle(self, now: float) -> None:
        """Let falls of the newest grant that are past count."""
        while self.falls and self.falls[0][0] <= now:
            (_, self.fallen), *rest = self.falls
            self.falls = tuple(rest)

    def spare(self, tokens: float) -> float:
        """How many of the tokens that the client says are spare may be: no more than its bucket can hold."""
        return min(tokens, self.assignment.burst) if self.assignment and not self.is_judged else 0.0

    def rate_seconds(self) -> float:
        report = self.report
        return report.interval_seconds + REPORT_MARGIN_SECONDS if report else 0.0

    def lease_seconds(self) -> float:
        return self.report.lease_seconds if self.report else 0.0

    @property
    def is_judged(self) -> bool:
        """Something stands against the client that keeps its rate down."""
        return self.appraisal is not None and self.appraisal.verdict in ("Clamp", "Quarantine")

    def is_fresh(self, now: float) -> bool:
        """Its newest grant still runs at its rate: it takes part in the plan."""
        return now < self.fresh_until

    @property
    def fresh_until(self) -> float:
        return self.received_at + CLOCK_MARGIN * self.rate_seconds() if self.selected else -inf

    def is_live(self, now: float) -> bool:
        """Its lease still runs."""
        return self.selected and now < self.received_at + CLOCK_MARGIN * self.lease_seconds()

    def can_be_pushed_to(self, now: float) -> bool:
        return self.connected and self.is_fresh(now)
