"""What is remembered of a workload while its pods come and go: nobody sheds a bad name by a restart."""

FULL_TRUST = 1.0
MOST_WORKLOADS = 10_000


class Workloads:
    """By workload (a Deployment, say), the trust with which its last pods left. A pod without one is a stranger."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}

    def first_trust(self, workload: str) -> float:
        """Where a new pod begins."""
        return self._left.get(workload, FULL_TRUST) if workload else FULL_TRUST

    def leave(self, workload: str, trust: float) -> None:
        if not workload:
            return
        self._left.pop(workload, None)
        self._left[workload] = trust
        if len(self._left) > MOST_WORKLOADS:
            del self._left[next(iter(self._left))]
