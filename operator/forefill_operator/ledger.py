"""What the clients of one policy may be using at each moment: the envelopes of their grants, and their sum.

While a change is not acknowledged, the client may follow the old envelope or the new one: it is counted at the larger
of them at each moment.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from math import fsum, inf

from forefill_operator.envelope import Envelope, Held, joined

# Envelopes kept apart for one client; when more are unacknowledged the oldest two are joined, on the safe side.
MOST_OUTSTANDING = 4
# Sums are kept by adding and taking away; for many accounts they are made anew only this often.
FEW, EXACT_SECONDS = 256, 60.0


class Account:
    """The envelopes that one client may be following, oldest first. `held` is their maximum when last looked at.

    `claimed` is one that nobody here granted or confirmed. It counts as held, so that raises wait for it, but no grant
    may rest on it. The account is looked at again when it is `due`.
    """

    __slots__ = ("claimed", "due", "held", "outstanding", "resumed")

    def __init__(self) -> None:
        self.due = inf
        self.outstanding: list[Envelope] = []
        self.claimed: Envelope | None = None
        # Grants up to this sequence were found on record: what has lapsed of them since may be another client's by now.
        self.resumed = -1
        self.held = Held()

    def add(self, envelope: Envelope, now: float) -> None:
        self.outstanding.append(envelope)
        if len(self.outstanding) > MOST_OUTSTANDING:
            first, second, *rest = self.outstanding
            both = joined(first, second, now)
            if first.sequence <= self.resumed:
                self.resumed = both.sequence
            self.outstanding = [both, *rest]

    def acknowledge(self, sequence: int) -> bool:
        """The client follows the grant `sequence` or a later one; earlier ones are of the past. Unknown: no effect.

        True when anything is of the past by that.
        """
        outstanding = self.outstanding
        if not self.knows(sequence):
            return False
        if self.claimed is None and outstanding[0].sequence == sequence:
            return False
        self.outstanding = [e for e in outstanding if e.sequence >= sequence]
        self.claimed = None
        if sequence > self.resumed:
            self.resumed = -1
        return True

    def knows(self, sequence: int) -> bool:
        for envelope in self.outstanding:
            if envelope.sequence == sequence:
                return True
        return False

    def granted_at(self, now: float) -> Held:
        """What a new grant may rest on."""
        sure = [each if each.sequence > self.resumed else each.lapsed() for each in self.outstanding]
        return _maximum(sure, now)

    def held_at(self, now: float) -> Held:
        return _maximum(self._envelopes(), now)

    def changes_after(self, now: float) -> float:
        return min((envelope.changes_after(now) for envelope in self._envelopes()), default=inf)

    def _envelopes(self) -> Sequence[Envelope]:
        return [*self.outstanding, self.claimed] if self.claimed else self.outstanding


def _maximum(envelopes: Sequence[Envelope], now: float) -> Held:
    """As `rate_at`, `safe_rate_at` and `burst_at` have it; written out, since every message asks several times."""
    rate = safe_rate = burst = 0.0
    for envelope in envelopes:
        is_leased = now < envelope.lease_until
        safe = envelope.safe_rate if is_leased else envelope.last_rate
        if safe > safe_rate:
            safe_rate = safe
        held = envelope.rate_at(now) if now < envelope.rate_until else safe
        if held > rate:
            rate = held
        if envelope.burst > burst and (is_leased or envelope.last_rate > 0.0):
            burst = envelope.burst
    return Held(rate, safe_rate, burst)


class Ledger:
    """The accounts of one policy by pod uid. `held` never falls short of the sum of `held_at(now)`.

    Between two calls of `lapse` it may exceed that sum: envelopes that have fallen by themselves still count in full.
    """

    __slots__ = ("_due", "_exact_at", "accounts", "held")

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.held = Held()
        self._due: list[tuple[float, str]] = []
        self._exact_at = -inf

    def issue(self, pod_uid: str, envelope: Envelope, now: float) -> None:
        account = self._account(pod_uid)
        account.add(envelope, now)
        self._recount(account, now)
        self._watch(pod_uid, account, envelope.changes_after(now))

    def resume(self, pod_uid: str, envelope: Envelope, now: float) -> None:
        """Another operator granted this, so long ago that part of it may have lapsed, and been granted to others."""
        self._account(pod_uid).resumed = envelope.sequence
        self.issue(pod_uid, envelope, now)

    def cut(self, pod_uid: str, sequence: int, rate: float, now: float) -> None:
        """A recall: under this sequence the newest grant goes on, nowhere above `rate`."""
        account = self.accounts.get(pod_uid)
        if account is not None and account.outstanding:
            if account.outstanding[-1].sequence <= account.resumed:
                account.resumed = sequence
            self.issue(pod_uid, account.outstanding[-1].cut(sequence, rate), now)

    def claim(self, pod_uid: str, envelope: Envelope, now: float) -> None:
        """The client says that it may be following this one, which was not granted or confirmed here."""
        account = self._account(pod_uid)
        account.claimed = envelope
        self._recount(account, now)
        self._watch(pod_uid, account, envelope.changes_after(now))

    def acknowledge(self, pod_uid: str, sequence: int, now: float) -> None:
        account = self.accounts.get(pod_uid)
        if account is not None and account.acknowledge(sequence):
            self._recount(account, now)

    def release(self, pod_uid: str) -> None:
        """The pod has ended: nothing is in its hands."""
        if account := self.accounts.pop(pod_uid, None):
            self._add(Held(), account.held)

    def granted_to(self, pod_uid: str, now: float) -> Held:
        account = self.accounts.get(pod_uid)
        if account is None:
            return Held()
        if now >= account.due:
            self._recount(account, now)
        is_sure = account.claimed is None and account.resumed < 0
        return account.held if is_sure else account.granted_at(now)

    def others(self, pod_uid: str) -> Held:
        """What everybody but `pod_uid` holds."""
        account = self.accounts.get(pod_uid)
        own, total = account.held if account else Held(), self.held
        return Held(
            max(total.rate - own.rate, 0.0),
            max(total.safe_rate - own.safe_rate, 0.0),
            max(total.burst - own.burst, 0.0),
        )

    def lapse(self, now: float) -> None:
        """What has fallen by itself leaves the sums."""
        while self._due and self._due[0][0] <= now:
            _, uid = heappop(self._due)
            if (account := self.accounts.get(uid)) and account.due <= now:
                account.due = inf
                self._recount(account, now)
                self._watch(uid, account, account.changes_after(now))

    def refresh(self, now: float) -> None:
        """As `lapse`, and once in a while rounding leaves the sums, too."""
        self.lapse(now)
        if len(self.accounts) <= FEW or now >= self._exact_at + EXACT_SECONDS:
            self._exact_at = now
            held = [account.held for account in self.accounts.values()]
            self.held = Held(fsum(h.rate for h in held), fsum(h.safe_rate for h in held), fsum(h.burst for h in held))

    def _account(self, pod_uid: str) -> Account:
        """The client's, a new one the first time."""
        account = self.accounts.get(pod_uid)
        if account is None:
            account = self.accounts[pod_uid] = Account()
        return account

    def _watch(self, pod_uid: str, account: Account, moment: float) -> None:
        """Look at the account again at `moment`, unless that is to be done before."""
        if moment < account.due:
            account.due = moment
            heappush(self._due, (moment, pod_uid))

    def _recount(self, account: Account, now: float) -> None:
        before, held = account.held, account.held_at(now)
        if held != before:
            account.held = held
            self._add(held, before)

    def _add(self, gained: Held, lost: Held) -> None:
        total = self.held
        self.held = Held(
            total.rate + gained.rate - lost.rate,
            total.safe_rate + gained.safe_rate - lost.safe_rate,
            total.burst + gained.burst - lost.burst,
        )
