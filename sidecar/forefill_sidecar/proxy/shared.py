"""What all connections of one listener share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from forefill_sidecar.cost import CostRule
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter
from forefill_sidecar.proxy import known
from forefill_sidecar.proxy.address import Address
from forefill_sidecar.proxy.crowd import Crowd
from forefill_sidecar.proxy.known import Request
from forefill_sidecar.proxy.limits import Limits
from forefill_sidecar.proxy.pool import Pool
from forefill_sidecar.proxy.tally import Tally

if TYPE_CHECKING:
    from forefill_sidecar.arrivals import Arrivals
    from forefill_sidecar.entry import Entry


class Shared:
    """`policy` is NAMESPACE/NAME; `read` makes a request of a head's bytes, or raises BadHead.

    `arrivals` gathers for a profile where one is kept, `note` writes requests down where that is wanted.
    """

    read: Callable[[bytes], Request]

    def __init__(
        self, policy: str, address: Address, gate: Gate, meter: Meter, pool: Pool, limits: Limits, rule: CostRule
    ) -> None:
        self.policy = policy
        self.address = address
        self.gate = gate
        self.meter = meter
        self.pool = pool
        self.limits = limits
        self.tally: Tally = pool.tally
        self.crowd = Crowd(pool.tally, limits.max_connections, pool.sweep)
        self.arrivals: Arrivals | None = None
        self.note: Callable[[Entry], None] | None = None
        self.is_draining = False
        self.charge_by(rule)

    def charge_by(self, rule: CostRule) -> None:
        """Requests cost what this rule says from now on."""
        self.cost = rule
        self.read = known.requests(self.address, rule)
