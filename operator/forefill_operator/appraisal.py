"""How the operator appraises the clients of one policy: its own forecast of each, trust, skill and what is wrong.

Everything is scored against offered demand, never against what was admitted: a throttled client forecasts no worse.
"""

from collections.abc import Mapping

from msgspec import Struct

from forefill_operator.anomaly.finding import STANDING_INTERVALS, Anomaly, Finding, Verdict, bounded
from forefill_operator.anomaly.impossible import impossible
from forefill_operator.client import Client
from forefill_operator.record import Record
from forefill_operator.spec import Spec
from forefill_operator.workload import Workloads
from forefill_protocol.messages import PolicyReport

# How much of the difference between a client's skill and the mean becomes priority.
SKILL_SHARE = 0.5


class Appraisal(Struct, frozen=True, gc=False):
    """`shadow`: the operator's own mean for the client's next window; `shadow_spread`: p95 - mean; tokens/s.

    `trust` in [0, 1]; `skill` is 1 - the client's loss over the shadow's. `verdict` is bounded by the policy's action.
    """

    shadow: float
    shadow_spread: float
    trust: float
    skill: float
    is_newcomer: bool
    verdict: Verdict
    anomalies: tuple[Anomaly, ...]


class Appraiser:
    """All clients of one policy. `now` is monotonic seconds."""

    def __init__(self, spec: Spec) -> None:
        self._records: dict[str, Record] = {}
        self._workloads = Workloads()
        self._skilled = 0
        self._skill_sum = 0.0
        self.configure(spec)

    def configure(self, spec: Spec) -> None:
        self._interval = spec.report.interval_seconds
        self._max_rate = spec.fill_rate.max
        self._lowest = 1.0 - spec.priority.max_penalty
        self._highest = 1.0 + spec.priority.max_boost
        self._action: Verdict = spec.anomaly.action

    def report(self, client: Client, entry: PolicyReport, now: float) -> Appraisal:
        """Take one new report: score what was forecast, then learn from it."""
        record = self._records.get(client.pod_uid) or self._join(client)
        carried = record.backlog
        window = record.gather(entry, self._interval, now)
        if record.missed:
            carried = None
        self._inspect(record, entry, carried, now)
        record.backlog = entry.backlog
        if window is not None:
            self._leave_mean(record)
            record.learn(window)
            self._enter_mean(record)
        record.standing.lapse(now)
        return self._appraisal(record)

    def appraisal(self, pod_uid: str) -> Appraisal | None:
        record = self._records.get(pod_uid)
        return self._appraisal(record) if record else None

    def priority(self, pod_uid: str) -> float:
        """clip(1 + .5 (skill - mean skill)), neutral for newcomers; weights are relative, so no budget is made."""
        record = self._records.get(pod_uid)
        if record is None or record.trust.is_newcomer:
            return 1.0
        mean = self._skill_sum / self._skilled
        return min(max(1.0 + SKILL_SHARE * (record.trust.skill - mean), self._lowest), self._highest)

    def forget(self, pod_uid: str, now: float) -> None:
        """The pod has ended. What was learnt of its trust stays with its workload."""
        if record := self._records.pop(pod_uid, None):
            self._leave_mean(record)
            self._workloads.leave(record.workload, record.trust.value)

    def pardon(self, pod_uid: str, now: float) -> None:
        """Somebody vouches for the client: what stands against it is dropped, and it is trusted as at first."""
        if record := self._records.get(pod_uid):
            record.standing.clear()
            record.trust.value = 1.0

    def measured(self, rates: Mapping[str, float], now: float) -> None:
        """What the upstream itself counted of each client, tokens/s by pod name."""

    def _join(self, client: Client) -> Record:
        workload = f"{client.namespace}/{client.workload}" if client.workload else ""
        record = self._records[client.pod_uid] = Record(workload, self._workloads.first_trust(workload))
        return record

    def _inspect(self, record: Record, entry: PolicyReport, carried: float | None, now: float) -> None:
        if entry.cost is not None:
            record.largest = max(record.largest, entry.cost.p95)
        if finding := impossible(entry, carried, record.largest, self._max_rate):
            self._found(record, finding, now)

    def _found(self, record: Record, finding: Finding, now: float) -> None:
        record.standing.add(finding, now, now + STANDING_INTERVALS * self._interval)

    def _enter_mean(self, record: Record) -> None:
        if not record.trust.is_newcomer:
            self._skilled += 1
            self._skill_sum += record.trust.skill

    def _leave_mean(self, record: Record) -> None:
        if not record.trust.is_newcomer:
            self._skilled -= 1
            self._skill_sum -= record.trust.skill

    def _appraisal(self, record: Record) -> Appraisal:
        shadow, trust, standing = record.shadow, record.trust, record.standing
        return Appraisal(
            shadow=shadow.mean,
            shadow_spread=max(shadow.p95 - shadow.mean, 0.0),
            trust=trust.value,
            skill=trust.skill,
            is_newcomer=trust.is_newcomer,
            verdict=bounded(standing.verdict, self._action),
            anomalies=standing.anomalies,
        )
