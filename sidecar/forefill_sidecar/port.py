"""What is shaped, as the agent sees it."""

from typing import Protocol

from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter


class Port(Protocol):
    """A listener, or anything else with a gate."""

    @property
    def gate(self) -> Gate: ...
    @property
    def meter(self) -> Meter: ...
    @property
    def expectations(self) -> Expectations: ...
    def configure(self, settings: PolicySettings) -> None: ...
