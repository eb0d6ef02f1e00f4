"""Which predictor goes on when a policy's settings change. Pure."""

import logging

from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.forecast.predictor import Predictor

_log = logging.getLogger("forefill.agent")


def succeeding(used: Predictor, before: PolicySettings, after: PolicySettings, policy: str) -> Predictor:
    """A new one for another model, or windows of another length; its season's days stay. Else the one in use."""
    if _model(before) == _model(after):
        return used
    used.season.interval_seconds = after.report_interval_seconds
    try:
        return Predictor(after.forecast.model, after.forecast.horizon_windows, used.season)
    except ValueError as error:
        # A newer operator may know models that this sidecar does not; the one it has serves on.
        _log.warning("%s keeps forecasting with %s: %s", policy, used.name, error)
        return used


def _model(settings: PolicySettings) -> tuple[str, int, float]:
    """What a predictor is made from."""
    return settings.forecast.model, settings.forecast.horizon_windows, settings.report_interval_seconds
