"""The sidecar's gate with a Flow for its line: what the agent does to a gate happens to the flow."""

from collections.abc import Callable
from dataclasses import dataclass

from forefill_lab.simulator.flow import Flow
from forefill_protocol.fields import Mode
from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.alarm import Cancellable
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter


@dataclass(slots=True)
class FlowPort:
    """What an agent's member shapes, in place of a proxy's listener."""

    gate: Gate
    meter: Meter
    expectations: Expectations

    def configure(self, settings: PolicySettings) -> None:
        self.gate.configure(settings)


class FlowGate(Gate):
    """Times are the client's clock. Nothing is set on a timer: the run brings the flow up to date."""

    def __init__(self, flow: Flow, settings: PolicySettings, mode: Mode) -> None:
        self.flow = flow
        self._earned, self._earned_until = 0.0, flow.clock()
        super().__init__(flow.bucket, settings, mode, flow.meter, flow.clock, _no_timer)
        self._switched()

    @property
    def waiting(self) -> int:
        return round(self.flow.waiting / self.flow.unit)

    def configure(self, settings: PolicySettings) -> None:
        super().configure(settings)
        self.flow.max_wait_seconds = settings.queue.max_wait_seconds
        self.flow.max_waiting = settings.queue.max_requests * self.flow.unit

    def earned(self, now: float) -> float:
        """Tokens that all rates until now came to, whatever ran over, and lumps."""
        self._earned += self.bucket.fill_rate * max(0.0, now - self._earned_until)
        self._earned_until = max(now, self._earned_until)
        return self._earned

    def retune(self, now: float, fill_rate: float, burst: float) -> None:
        self.earned(now)
        self.flow.retune(now, fill_rate, burst)

    def add(self, now: float, tokens: float) -> None:
        self._earned += tokens
        self.flow.serve(now)
        self.bucket.add(now, tokens)
        self.flow.serve(now)

    def take_out(self, now: float, tokens: float) -> float:
        taken = self.bucket.settle(now, tokens, max_debt=0.0)
        self._earned -= taken
        return taken

    def _switched(self) -> None:
        passes_all, denies_all = self.mode == "Observe" or self._is_open, self._is_denying
        if (passes_all, denies_all) != (self.flow.passes_all, self.flow.denies_all):
            self.flow.passes_all, self.flow.denies_all = passes_all, denies_all
            self.flow.has_passed_all = self.flow.has_passed_all or passes_all
            self.flow.serve(self.flow.clock())


def _no_timer(seconds: float, act: Callable[[], None]) -> Cancellable:
    raise NotImplementedError("a flow has no timers")
