"""The load of the machine that the operator runs on, for a resource that runs there too. Source `machine`."""

import time
from collections.abc import Callable, Mapping

import psutil

from forefill_operator.load.readings import Part, Rates, Reading, bounded
from forefill_operator.policy import TokenPolicy

# Shorter spans of CPU time are noise; policies that ask sooner get the same answer.
SHORTEST_SECONDS = 0.5
LOOPBACK = ("lo", "lo0")


class Machine:
    """`network_bytes_per_second` is the bandwidth of all interfaces but loopback; without it the network is no part."""

    def __init__(
        self, network_bytes_per_second: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bandwidth = network_bytes_per_second
        self._clock = clock
        psutil.cpu_percent()
        self._measured_at, self._moved = clock(), _bytes_moved()
        self._readings: Mapping[Part, Reading] = {}

    def allows(self, policy: TokenPolicy) -> bool:
        return True

    async def read(self, policy: TokenPolicy) -> Mapping[Part, Reading]:
        now = self._clock()
        if not self._readings or now - self._measured_at >= SHORTEST_SECONDS:
            self._readings = self._measure(now)
        return self._readings

    async def rates(self, policy: TokenPolicy) -> Rates | None:
        return None

    async def close(self) -> None:
        pass

    def _measure(self, now: float) -> Mapping[Part, Reading]:
        readings: dict[Part, Reading] = {
            "cpu": bounded(psutil.cpu_percent() / 100),
            "memory": bounded(psutil.virtual_memory().percent / 100),
        }
        if self._bandwidth:
            moved = _bytes_moved()
            seconds = max(now - self._measured_at, SHORTEST_SECONDS)
            # A counter that starts anew, as when an interface goes, shows nothing.
            rate = max(max(new - old for new, old in zip(moved, self._moved, strict=True)), 0) / seconds
            readings["network"] = bounded(min(rate / self._bandwidth, 1.0))
            self._moved = moved
        self._measured_at = now
        return readings


def _bytes_moved() -> tuple[int, int]:
    """Sent and received."""
    counters = [each for name, each in psutil.net_io_counters(pernic=True).items() if name not in LOOPBACK]
    return sum(each.bytes_sent for each in counters), sum(each.bytes_recv for each in counters)
