"""What is remembered of workloads (Deployments, say) while their pods come and go.

Nobody sheds a bad name by a restart, and nobody starts with a better one than the pods beside it have.
"""

from forefill_operator.anomaly.cohort import Cohort

FULL_TRUST = 1.0
# How many pods that left are remembered, about.
REMEMBERED_PODS = 10
MOST_WORKLOADS = 10_000


class Workload:
    """`cohort`: its pods as they are; `trust` of all added up; `left_trust`, `left_skill` of those that left."""

    __slots__ = ("cohort", "left_skill", "left_trust", "pods", "trust")

    def __init__(self) -> None:
        self.cohort = Cohort()
        self.pods = 0
        self.trust = 0.0
        self.left_trust = FULL_TRUST
        self.left_skill = 0.0

    def join(self) -> float:
        """The trust that a new pod starts with."""
        standing = min(max(self.trust / self.pods, 0.0), FULL_TRUST) if self.pods else FULL_TRUST
        first = min(standing, self.left_trust)
        self.pods += 1
        self.trust += first
        return first

    def leave(self, pod_uid: str, trust: float, skill: float) -> None:
        share = 1.0 / min(self.pods, REMEMBERED_PODS)
        self.left_trust += share * (trust - self.left_trust)
        self.left_skill += share * (skill - self.left_skill)
        self.pods -= 1
        self.trust -= trust
        self.cohort.leave(pod_uid)


class Workloads:
    """By name; the longest without pods are forgotten first."""

    def __init__(self) -> None:
        self._known: dict[str, Workload] = {}

    def get(self, name: str) -> Workload:
        workload = self._known.pop(name, None) or Workload()
        self._known[name] = workload
        if len(self._known) > MOST_WORKLOADS:
            self._forget_one()
        return workload

    def _forget_one(self) -> None:
        empty = next((name for name, workload in self._known.items() if not workload.pods), None)
        if empty is not None:
            del self._known[empty]
