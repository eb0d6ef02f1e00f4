"""What an agent counts of one policy, for `/metrics`. Pure."""

from collections import Counter
from dataclasses import dataclass, field

from forefill_protocol.messages import Forecast
from forefill_sidecar.early import Reason


@dataclass(slots=True)
class Counts:
    """All only rise. Tokens, and windows or messages where the name says so."""

    early_reports: Counter[Reason] = field(default_factory=Counter)
    recalls: int = 0
    lumps: int = 0
    lump_tokens: float = 0.0
    given_tokens: float = 0.0
    declared_tokens: float = 0.0
    scored_windows: int = 0
    covered_windows: int = 0
    forecast_tokens: float = 0.0
    error_tokens: float = 0.0
    gap_windows: int = 0

    def scored(self, forecast: Forecast, rate: float, seconds: float) -> None:
        """A window whose forecast is known brought `rate` tokens/s for so long."""
        self.scored_windows += 1
        self.covered_windows += rate <= forecast.p95
        self.forecast_tokens += forecast.mean * seconds
        self.error_tokens += abs(rate - forecast.mean) * seconds
