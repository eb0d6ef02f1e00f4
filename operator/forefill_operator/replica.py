"""One of several operators: the controller of the policies that it owns, and the way to the owners of the others.

Pure as the controller is. What it decides waits as mail until the store has recorded it; `exchange` sends it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from forefill_operator import relay
from forefill_operator.book import Book
from forefill_operator.client import Client
from forefill_operator.conditions import Condition
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.envelope import CLOCK_MARGIN
from forefill_operator.learning import Learning
from forefill_operator.mail import Awaited, Outbox
from forefill_operator.policy import TokenPolicy
from forefill_operator.records import Record, resume
from forefill_operator.status import PolicyStatus
from forefill_operator.store.interface import Owner, StoreFault
from forefill_protocol import codec
from forefill_protocol.messages import Ack, Goodbye, Hello, Holding, PolicyReport, Refused, Report, Up

RETRY_SECONDS = 1.0
_Part = TypeVar("_Part", Holding, PolicyReport)


class Replica(Controller):
    """`name` is this operator's among all that ever use the store.

    `owned` holds the epoch of each policy that is served here, `owners` who serves the others, as last heard.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.policies: dict[str, TokenPolicy] = {}
        self.unserved: set[str] = set()
        self.owned: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.fault: StoreFault | None = None
        self.fronts: dict[str, str] = {}
        self.outbox = Outbox()
        self.awaited = Awaited()
        self._relayed_to: dict[str, set[str]] = {}

    # Ownership

    def policy(self, key: str) -> TokenPolicy | None:
        return self.policies.get(key)

    def wants(self) -> set[str]:
        """Every policy that somebody must own."""
        return set(self.policies)

    def adopt(self, key: str, epoch: int, records: Iterable[Record], *, whole: bool, now: float) -> None:
        """Serve `key` from here on. Not `whole`: grants may be out that no record tells of, for a lease at most."""
        policy = self.policies[key]
        is_new = key in self.unserved
        until = now + CLOCK_MARGIN * policy.spec.report.lease_seconds
        learning = Learning() if whole or is_new else Learning(policy.spec.fill_rate.max, until)
        book = Book(policy, learning, now)
        for record in records:
            resume(book, record, now)
        book.replan(now)
        self.books[key], self.owned[key] = book, epoch
        self.unserved.discard(key)
        self.owners.pop(key, None)

    def drop(self, key: str) -> None:
        """Somebody else serves `key`, or will."""
        self.books.pop(key, None)
        self.owned.pop(key, None)
        self.outbox.drop(key)

    def is_whole(self, key: str, now: float) -> bool:
        """All that is out of this policy is known here."""
        return self.books[key].learning.unknown_at(now) <= 0.0

    def saw(self, owners: Mapping[str, Owner | None], operators: Iterable[str]) -> None:
        """Who owns what; the streams of operators that are gone are gone, too."""
        self.owners = {k: o.operator for k, o in owners.items() if o is not None and k not in self.owned}
        # Whoever serves a policy may have granted: it is new to nobody any more.
        self.unserved -= self.owners.keys()
        present = {*operators, self.name}
        for uid, front in list(self.fronts.items()):
            if front not in present:
                del self.fronts[uid]
                super().disconnected(uid, 0.0)

    # Policies

    def put_policy(self, policy: TokenPolicy, now: float, *, is_new: bool = False) -> Deliveries:
        if is_new and policy.key not in self.policies:
            self.unserved.add(policy.key)
        self.policies[policy.key] = policy
        if policy.key not in self.owned:
            self._invalid.pop(policy.key, None)
            self._removed.discard(policy.key)
            return []
        return self._keep(super().put_policy(policy, now))

    def remove_policy(self, key: str, now: float) -> Deliveries:
        self.policies.pop(key, None)
        return self._keep(super().remove_policy(key, now))

    # Messages of sidecars whose streams are here

    def hello(self, client: Client, hello: Hello, now: float) -> Deliveries:
        self.fronts.pop(client.pod_uid, None)
        self._relayed_to[client.pod_uid] = set()
        here, there = self._sorted_out({h.policy: h for h in hello.holdings})
        for operator, holdings in there.items():
            self._forward(operator, client, replace(hello, holdings=holdings))
        return self._keep(super().hello(client, replace(hello, holdings=here), now))

    def report(self, client: Client, report: Report, now: float) -> Deliveries:
        here, there = self._sorted_out({entry.policy: entry for entry in report.entries})
        for operator, entries in there.items():
            self._forward(operator, client, replace(report, entries=entries))
            for entry in entries:
                self.awaited.ask(entry.policy, client.pod_uid, entry.grant_sequence, now)
        return self._keep(super().report(client, replace(report, entries=here), now)) if here else []

    def ack(self, pod_uid: str, ack: Ack, now: float) -> Deliveries:
        """Only an owner that has had a message of the pod has granted it anything."""
        operator = self.owners.get(ack.policy)
        if operator is None:
            return self._keep(super().ack(pod_uid, ack, now))
        self._forward(operator, Client("", "", "", pod_uid), ack)
        return []

    def goodbye(self, pod_uid: str, now: float) -> Deliveries:
        for operator in self._relayed_to.pop(pod_uid, set()):
            self._forward(operator, Client("", "", "", pod_uid), Goodbye())
        return self.ended(pod_uid, now)

    def disconnected(self, pod_uid: str, now: float) -> None:
        for operator in self._relayed_to.pop(pod_uid, set()):
            self.outbox.forward(operator, relay.Left(self.name, pod_uid))
        super().disconnected(pod_uid, now)

    def ended(self, pod_uid: str, now: float) -> Deliveries:
        for key, book in self.books.items():
            if pod_uid in book.members:
                self.outbox.touch(key, [pod_uid])
        self.fronts.pop(pod_uid, None)
        return self._keep(super().ended(pod_uid, now))

    def tick(self, now: float) -> Deliveries:
        return self._keep(super().tick(now))

    # Messages that other operators forward

    def forwarded(self, front: str, client: Client, message: Up, now: float) -> None:
        uid = client.pod_uid
        self.fronts[uid] = front
        match message:
            case Hello():
                self._keep(super().hello(client, message, now))
            case Report():
                self._keep(super().report(client, message, now))
            case Ack():
                self._keep(super().ack(uid, message, now))
            case Goodbye():
                self.ended(uid, now)
            case _:
                raise relay.BadRelay(f"a {type(message).__name__} is not forwarded")

    def left(self, front: str, pod_uid: str, now: float) -> None:
        """Unless the pod has come to another operator meanwhile."""
        if self.fronts.get(pod_uid) == front:
            del self.fronts[pod_uid]
            super().disconnected(pod_uid, now)

    # What others want to know

    def status(self, key: str, now: float) -> PolicyStatus | None:
        """None for what somebody else owns. A store at fault is told in Enforced, of what nobody owns, too."""
        found = super().status(key, now)
        if self.fault is None:
            return found
        if found is None:
            if key not in self.policies or key in self.owners:
                return None
            generation = self.policies[key].generation
            return PolicyStatus([self._at_fault(self.fault, generation)], generation, 0)
        fault = self._at_fault(self.fault, found.observed_generation)
        return replace(found, conditions=[fault if c.type == "Enforced" else c for c in found.conditions])

    @staticmethod
    def _at_fault(fault: StoreFault, generation: int) -> Condition:
        return Condition("Enforced", "False", fault.reason, str(fault), generation)

    # Ways out

    def touch(self, key: str) -> None:
        """Every record of the policy is to be written anew."""
        self.outbox.touch(key, self.books[key].members)

    def _sorted_out(self, parts: Mapping[str, _Part]) -> tuple[list[_Part], dict[str, list[_Part]]]:
        """What is answered here, and what goes to which operator."""
        here: list[_Part] = []
        there: defaultdict[str, list[_Part]] = defaultdict(list)
        for key, part in parts.items():
            operator = self.owners.get(key)
            if operator is None:
                here.append(part)
            else:
                there[operator].append(part)
        return here, there

    def _forward(self, operator: str, client: Client, message: Up) -> None:
        self._relayed_to.setdefault(client.pod_uid, set()).add(operator)
        self.outbox.forward(operator, relay.Forwarded(self.name, client, codec.encode(message)))

    def _keep(self, deliveries: Deliveries) -> Deliveries:
        """Nothing leaves at once: a grant waits for its record, a refusal for the others' sake of order."""
        for pod_uid, message in deliveries:
            self.outbox.send(pod_uid, message)
        return []

    def _notice_deleted(self, holding: Holding) -> None:
        if holding.policy not in self.policies:
            super()._notice_deleted(holding)

    def _book(self, key: str) -> Book | Refused:
        if key in self.policies and key not in self.owned:
            sentence = f"no operator serves {key} yet" if self.fault is None else str(self.fault)
            return Refused(code=503, policy=key, sentence=sentence, retry_after_seconds=RETRY_SECONDS)
        return super()._book(key)
