"""How the operator appraises the clients of one policy: its own forecast of each, trust, skill and what is wrong.

Everything is scored against offered demand, never against what was admitted: a throttled client forecasts no worse.
"""

from collections.abc import Mapping

from msgspec import Struct

from forefill_operator.anomaly.finding import STANDING_INTERVALS, Anomaly, Finding, Verdict, bounded
from forefill_operator.anomaly.impossible import impossible
from forefill_operator.anomaly.sensitivity import SENSITIVITIES
from forefill_operator.client import Client
from forefill_operator.record import Record, Window
from forefill_operator.spec import Spec
from forefill_operator.workload import Workloads
from forefill_protocol.messages import PolicyReport

# How much of the difference between a client's skill and the mean becomes priority.
SKILL_SHARE = 0.5
# Below this trust a forecast is called untrue; from the other on, a surprising demand is no reason to doubt it.
UNTRUE, PROVEN = 0.2, 0.5
# Who has not reported for so many intervals is away: nothing can contradict it.
AWAY_INTERVALS = 2.0


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
        self._sensitivity = SENSITIVITIES[spec.anomaly.sensitivity]

    def report(self, client: Client, entry: PolicyReport, now: float) -> Appraisal:
        """Take one new report: score what was forecast, then learn from it."""
        record = self._records.get(client.pod_uid) or self._join(client)
        standing = record.standing
        if standing:
            standing.lapse(now)
        carried, heard_at = record.backlog, record.heard_at
        window = record.gather(entry, self._interval, now)
        elapsed = now - heard_at if heard_at is not None else None
        if finding := record.cadence.inspect(entry, elapsed, self._interval):
            self._found(record, finding, now)
        carried = None if record.missed else carried
        if finding := impossible(entry, carried, record.largest, self._max_rate):
            self._found(record, finding, now)
        if window is not None:
            self._learn(record, window, entry, now)
        return self._appraisal(record)

    def appraisal(self, pod_uid: str) -> Appraisal | None:
        """As it stood after the client's last report."""
        record = self._records.get(pod_uid)
        return self._appraisal(record) if record else None

    def record(self, pod_uid: str) -> Record | None:
        """What an explanation may want beyond the appraisal."""
        return self._records.get(pod_uid)

    def priority(self, appraisal: Appraisal) -> float:
        """clip(1 + .5 (skill - mean skill)), 1 for newcomers: what one gains in weight, others lose."""
        if appraisal.is_newcomer:
            return 1.0
        mean = self._skill_sum / self._skilled
        return min(max(1.0 + SKILL_SHARE * (appraisal.skill - mean), self._lowest), self._highest)

    def forget(self, pod_uid: str, now: float) -> None:
        """The pod has ended. What was learnt of its trust and skill stays with its workload."""
        record = self._records.pop(pod_uid, None)
        if record is None:
            return
        if record.skill is not None:
            self._skilled -= 1
            self._skill_sum -= record.skill
        if record.workload is not None:
            record.workload.leave(pod_uid, record.trust.value, record.trust.skill)

    def pardon(self, pod_uid: str, now: float) -> None:
        """Somebody vouches for the client: what stands against it is dropped, and it is trusted as at first."""
        if record := self._records.get(pod_uid):
            record.standing.clear()
            record.account.strikes = 0
            record.trust.pardon()

    def measured(self, rates: Mapping[str, float], now: float) -> None:
        """What the upstream itself counted of each client, tokens/s by pod as NAMESPACE/NAME."""
        for record in self._records.values():
            rate = rates.get(record.client.name)
            if rate is None or record.heard_at is None or now > record.heard_at + AWAY_INTERVALS * self._interval:
                continue
            if sentence := record.account.compare(rate, self._max_rate, self._interval, now):
                self._found(record, Finding("Contradicted", sentence, "Clamp"), now)

    def _join(self, client: Client) -> Record:
        workload = self._workloads.get(f"{client.namespace}/{client.workload}") if client.workload else None
        record = self._records[client.pod_uid] = Record(client, workload)
        return record

    def _learn(self, record: Record, window: Window, entry: PolicyReport, now: float) -> None:
        trust, level = record.trust, self._sensitivity
        error = record.learn(window, entry.forecasts)
        if not trust.is_newcomer:
            self._count_skill(record, trust.skill)
        surprise: Verdict = "None" if trust.value >= PROVEN else "Ignore"
        if alarm := record.novelty.observe(window.rate, error, window.seconds, level.ratio, now):
            self._found(record, Finding(alarm.source, alarm.sentence, surprise), now)
        if trust.value < UNTRUE:
            self._found(record, Finding("Untrue", trust.sentence(record.shadow.usual), "Ignore"), now)
        if record.workload is not None:
            cohort = record.workload.cohort
            if apart := cohort.inspect(
                record.client.pod_uid, record.shadow.level, level.deviations, self._interval, now
            ):
                harmful = apart.is_above and trust.value < UNTRUE
                verdict: Verdict = "Clamp" if harmful else surprise
                self._found(record, Finding("OffCohort", apart.sentence, verdict), now)

    def _found(self, record: Record, finding: Finding, now: float) -> None:
        record.standing.add(finding, now, now + STANDING_INTERVALS * self._interval)

    def _count_skill(self, record: Record, skill: float) -> None:
        if record.skill is None:
            self._skilled += 1
        self._skill_sum += skill - (record.skill or 0.0)
        record.skill = skill

    def _appraisal(self, record: Record) -> Appraisal:
        shadow, skill, standing = record.shadow, record.skill, record.standing
        spread = shadow.offset95 * shadow.size
        return Appraisal(
            shadow.mean,
            spread if spread > 0.0 else 0.0,
            record.trust.value,
            record.trust.skill if skill is None else skill,
            skill is None,
            bounded(standing.verdict, self._action) if standing else "None",
            standing.anomalies if standing else (),
        )
