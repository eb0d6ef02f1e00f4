"""Tokens of a bucket that other clients may have. Pure: `now` is given."""

from typing import Final

from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.port import Port

# A bucket keeps this much of its rate, or of demand at its highest where that is more.
KEPT_SECONDS: Final = 0.5


def spare_tokens(now: float, listener: Port, predictor: Predictor, settings: PolicySettings) -> float:
    """0 while requests wait, and where nothing is enforced: tokens that nobody needs are worth nothing elsewhere."""
    gate = listener.gate
    if not gate.is_enforcing or listener.meter.backlog > 0.0:
        return 0.0
    band = predictor.band(settings.forecast.quantile)
    rate = max(gate.bucket.fill_rate, band.high if band else 0.0)
    return max(0.0, gate.bucket.tokens_at(now) - KEPT_SECONDS * rate)
