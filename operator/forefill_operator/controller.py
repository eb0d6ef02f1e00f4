"""The operator as a state machine of messages: what came in, and when, to what must go out. No I/O, no clock.

The shell authenticates, decodes, calls one method here and sends what it returns; `tick` every TICK_SECONDS. It sends
nothing on a stream before that stream's Hello has come: a grant that answers 0 would count from the wrong Hello.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from forefill_operator import status
from forefill_operator.book import Book
from forefill_operator.client import Client
from forefill_operator.envelope import CLOCK_MARGIN
from forefill_operator.figures import Figures, figures_of
from forefill_operator.issuer import Deliveries
from forefill_operator.learning import Learning
from forefill_operator.load.readings import Fault
from forefill_operator.policy import InvalidPolicy, TokenPolicy
from forefill_operator.shaping import Load
from forefill_operator.status import BestModel, PolicyStatus
from forefill_protocol.messages import Ack, Down, Hello, Holding, PolicyReport, Refused, Report

__all__ = ["TICK_SECONDS", "Controller", "Deliveries", "Figures"]

TICK_SECONDS = 0.5
# Names of deleted policies that are told apart from names that never were.
MOST_REMEMBERED = 10_000


class _Session:
    """The newest report of one boot of one sidecar, for all its policies."""

    __slots__ = ("boot_id", "sequence")

    def __init__(self, boot_id: str = "") -> None:
        self.boot_id = boot_id
        self.sequence = 0

    def is_new(self, sequence: int) -> bool:
        if sequence <= self.sequence:
            return False
        self.sequence = sequence
        return True


class Controller:
    """`first_start`: no operator ever granted anything here, so that there is nothing to learn."""

    def __init__(self, *, first_start: bool = False) -> None:
        self.books: dict[str, Book] = {}
        self._first_start = first_start
        self._started_at: float | None = None
        self._removed: set[str] = set()
        self._invalid: dict[str, tuple[InvalidPolicy, int]] = {}
        self._sessions: dict[str, _Session] = {}
        self._best_models: dict[str, list[BestModel]] = {}

    # Policies

    def put_policy(self, policy: TokenPolicy, now: float, *, is_new: bool = False) -> Deliveries:
        """`is_new`: no operator has ever served this policy (its status is empty): there is nothing to learn."""
        self._invalid.pop(policy.key, None)
        self._removed.discard(policy.key)
        if book := self.books.get(policy.key):
            return book.put(policy, now)
        self.books[policy.key] = Book(policy, Learning() if is_new else self._learning(policy, now), now)
        return []

    def reject_policy(self, key: str, invalid: InvalidPolicy, generation: int) -> None:
        """The newest generation can't be served. The last good one goes on; without one reports are refused (503)."""
        self._invalid[key] = (invalid, generation)

    def remove_policy(self, key: str, now: float) -> Deliveries:
        """What is held stays known, should a policy of this name come back."""
        self._invalid.pop(key, None)
        self._removed.add(key)
        self._best_models.pop(key, None)
        book = self.books.get(key)
        members = book.members.values() if book else ()
        return [(member.client.pod_uid, self._gone(key)) for member in members if member.connected]

    def set_load(self, key: str, load: Load | None, faults: Mapping[str, Fault] = MappingProxyType({})) -> None:
        """Used by the next plan. `faults` say, by what they are about, what keeps the load from being known."""
        if book := self.books.get(key):
            book.load, book.load_faults = load, faults

    def measured(self, key: str, rates: Mapping[str, float], now: float) -> None:
        """What the upstream itself counted of each client, tokens/s by NAMESPACE/NAME of the pod."""
        if book := self.books.get(key):
            book.planner.appraiser.measured(rates, now)

    def audited(self, key: str, best_models: Sequence[BestModel]) -> None:
        """Which model would serve each workload best; some are shown in the status, those first that have another."""
        book = self.books.get(key)
        used = book.policy.spec.forecast.model if book else ""
        first = sorted(best_models, key=lambda best: (best.model == used, best.workload))
        self._best_models[key] = first[: status.MOST_BEST_MODELS]

    def policy(self, key: str) -> TokenPolicy | None:
        """As it is served here or elsewhere."""
        book = self.books.get(key)
        return book.policy if book else None

    def served(self) -> dict[str, TokenPolicy]:
        """What is served, by key."""
        return {key: book.policy for key, book in self.books.items() if key not in self._removed}

    def _learning(self, policy: TokenPolicy, now: float) -> Learning:
        """Leases of an earlier operator end one lease after this one read its first policy, at the latest."""
        if self._started_at is None:
            self._started_at = now
        until = self._started_at + CLOCK_MARGIN * policy.spec.report.lease_seconds
        return Learning() if self._first_start else Learning(policy.spec.fill_rate.max, until)

    # Messages

    def hello(self, client: Client, hello: Hello, now: float) -> Deliveries:
        """One answer a holding, at once."""
        session = self._sessions.get(client.pod_uid)
        if session is None or session.boot_id != hello.boot_id:
            self._sessions[client.pod_uid] = _Session(hello.boot_id)
        answers: Deliveries = []
        for holding in hello.holdings:
            self._notice_deleted(holding)
            book = self._book(holding.policy)
            answer: Down = book if isinstance(book, Refused) else book.hello(client, holding, now)
            answers.append((client.pod_uid, answer))
        return answers

    def report(self, client: Client, report: Report, now: float) -> Deliveries:
        """One answer an entry, then pushes to others."""
        session = self._sessions.get(client.pod_uid)
        if session is None:
            session = self._sessions[client.pod_uid] = _Session()
        is_new = session.is_new(report.sequence)
        sendings: Deliveries = []
        seen: set[str] = set()
        for entry in report.entries:
            sendings += self._entry(client, entry, report.sequence, is_new and entry.policy not in seen, now)
            seen.add(entry.policy)
        return sendings

    def _entry(self, client: Client, entry: PolicyReport, sequence: int, is_new: bool, now: float) -> Deliveries:
        book = self._book(entry.policy)
        if isinstance(book, Refused):
            return [(client.pod_uid, book)]
        return book.report(client, entry, sequence, is_new, now)

    def ack(self, pod_uid: str, ack: Ack, now: float) -> Deliveries:
        book = self._book(ack.policy)
        if isinstance(book, Refused):
            return []
        return book.acknowledge(pod_uid, ack, now)

    def goodbye(self, pod_uid: str, now: float) -> Deliveries:
        """The pod ends by its own word: its grants are free at once."""
        return self.ended(pod_uid, now)

    def disconnected(self, pod_uid: str, now: float) -> None:
        """The last stream of the pod is gone; its leases run on."""
        for book in self.books.values():
            book.disconnected(pod_uid)

    def ended(self, pod_uid: str, now: float) -> Deliveries:
        """The pod is known to have ended. Returns pushes to those who waited for what it held."""
        self._sessions.pop(pod_uid, None)
        return [
            sending
            for key, book in self.books.items()
            for sending in book.ended(pod_uid, now)
            if key not in self._removed
        ]

    def silent(self) -> list[Client]:
        """Pods without a stream that still count: nobody knows yet whether they have ended."""
        silent = {
            m.client.pod_uid: m.client for book in self.books.values() for m in book.members.values() if not m.connected
        }
        return list(silent.values())

    def tick(self, now: float) -> Deliveries:
        served = [book for key, book in self.books.items() if key not in self._removed]
        busy = sum(book.is_busy(now) for book in served)
        for book in served:
            book.planner.policies = max(busy, 1)
        return [sending for book in served for sending in book.tick(now)]

    # Refusals

    def _book(self, key: str) -> Book | Refused:
        if key in self._removed:
            return self._gone(key)
        if book := self.books.get(key):
            return book
        if key in self._invalid:
            # Sidecars take 503 as no answer: they go on at their safe rate until the policy has been mended.
            invalid, _ = self._invalid[key]
            return Refused(code=503, policy=key, sentence=f"TokenPolicy {key} is invalid: {invalid}"[:1024])
        return Refused(code=404, policy=key, sentence=f"there is no TokenPolicy {key}")

    def _notice_deleted(self, holding: Holding) -> None:
        """A pod that knows a policy's uid has it from the API server: what is not there now was deleted meanwhile."""
        key = holding.policy
        known = key in self.books or key in self._invalid
        if holding.policy_uid and not known and len(self._removed) < MOST_REMEMBERED:
            self._removed.add(key)

    def _gone(self, key: str) -> Refused:
        return Refused(code=410, policy=key, sentence=f"TokenPolicy {key} was deleted")

    # What others want to know

    def status(self, key: str, now: float) -> PolicyStatus | None:
        """None when there is no such policy."""
        book, rejected = None if key in self._removed else self.books.get(key), self._invalid.get(key)
        if book is None:
            return status.status_of_invalid(*rejected) if rejected else None
        invalid, generation = rejected or (None, book.policy.generation)
        return replace(status.status_of(book, invalid, generation, now), best_models=self._best_models.get(key, []))

    def figures(self, now: float) -> dict[str, Figures]:
        """Numbers for metrics by policy and name; costs a pass over all clients."""
        return {key: figures_of(book, now) for key, book in self.books.items() if key not in self._removed}
