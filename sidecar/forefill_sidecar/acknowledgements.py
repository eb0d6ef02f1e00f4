"""When a grant is worth a message of its own: the operator counts a client at the largest grant since the last one."""

from dataclasses import dataclass

from forefill_protocol.messages import Assignment

# Less than this part of a rate is not worth a message: the next report acknowledges it, too.
NEGLIGIBLE = 0.02


@dataclass(slots=True)
class Outstanding:
    """What the operator must take this client to be using, and the generation of the policy that it knows of."""

    fill_rate: float = 0.0
    safe_rate: float = 0.0
    burst: float = 0.0
    generation: int = -1

    def take(self, assignment: Assignment) -> bool:
        """Whether this grant frees something, or is the first of its generation: then it is acknowledged at once."""
        is_new = assignment.policy_generation != self.generation or bool(assignment.ca_bundle)
        told = is_new or bool(assignment.steps) or self._frees(assignment)
        if told:
            self.acknowledged(assignment)
        else:
            self.fill_rate = max(self.fill_rate, assignment.fill_rate)
            self.safe_rate = max(self.safe_rate, assignment.safe_rate)
            self.burst = max(self.burst, assignment.burst)
        return told

    def acknowledged(self, assignment: Assignment) -> None:
        """By a message of its own, or in a report."""
        self.fill_rate, self.safe_rate = assignment.fill_rate, assignment.safe_rate
        self.burst, self.generation = assignment.burst, assignment.policy_generation

    def stream_opened(self) -> None:
        """Whoever answers now may know nothing: the first grant is acknowledged."""
        self.generation = -1

    def _frees(self, assignment: Assignment) -> bool:
        kept = 1.0 - NEGLIGIBLE
        return (
            assignment.fill_rate < kept * self.fill_rate
            or assignment.safe_rate < kept * self.safe_rate
            or assignment.burst < kept * self.burst
        )
