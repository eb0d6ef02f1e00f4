"""What waits to leave one of several operators, and what it waits for from the others. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from forefill_operator.issuer import Deliveries
from forefill_operator.relay import Relayed
from forefill_protocol.messages import Assignment, Down, Recall

# An owner that has not answered a forwarded report for this long is slow. With a beat on top it is still less than the
# time that a rate outlives its report.
SLOW_SECONDS = 0.5


class Mail:
    """Grants by policy, refusals, pods by policy whose records are to be written anew, messages by operator."""

    __slots__ = ("forwards", "granted", "refusals", "touched")

    def __init__(self) -> None:
        self.granted: defaultdict[str, Deliveries] = defaultdict(list)
        self.refusals: Deliveries = []
        self.touched: defaultdict[str, set[str]] = defaultdict(set)
        self.forwards: defaultdict[str, list[Relayed]] = defaultdict(list)


class Outbox:
    """Gathers mail until somebody takes it; `ring` is called whenever something has come in."""

    def __init__(self) -> None:
        self.ring: Callable[[], None] = _unheard
        self._mail = Mail()

    def take(self) -> Mail:
        taken, self._mail = self._mail, Mail()
        return taken

    def send(self, pod_uid: str, message: Down) -> None:
        if isinstance(message, (Assignment, Recall)):
            self._mail.granted[message.policy].append((pod_uid, message))
        else:
            self._mail.refusals.append((pod_uid, message))
        self.ring()

    def touch(self, key: str, pod_uids: Iterable[str]) -> None:
        """Their records of this policy are to be written anew."""
        self._mail.touched[key].update(pod_uids)
        self.ring()

    def forward(self, operator: str, message: Relayed) -> None:
        self._mail.forwards[operator].append(message)
        self.ring()

    def drop(self, key: str) -> None:
        """Nothing is granted of this policy any more."""
        self._mail.granted.pop(key, None)


class Awaited:
    """Reports that went to other operators: by policy and pod, the newest grant that the pod had acknowledged."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], tuple[int, float]] = {}

    def ask(self, key: str, pod_uid: str, sequence: int, now: float) -> None:
        self._since[key, pod_uid] = sequence, now

    def answered(self, key: str, pod_uid: str) -> None:
        self._since.pop((key, pod_uid), None)

    def take_slow(self, now: float) -> dict[str, dict[str, int]]:
        """Those whose owners are slow, once: acknowledged grants by pod, by policy."""
        slow: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (key, pod_uid), (sequence, since) in list(self._since.items()):
            if now >= since + SLOW_SECONDS:
                slow[key][pod_uid] = sequence
                del self._since[key, pod_uid]
        return slow


def _unheard() -> None:
    """Nobody waits for mail."""
