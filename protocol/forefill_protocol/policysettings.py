"""What of a TokenPolicy travels to a sidecar with its assignment: the parts that it acts on and that may change."""

from typing import Annotated

from msgspec import Meta, Struct

from forefill_protocol.fields import Amount, Coefficient, Count, Fallback, Seconds, ShortText


class ForecastSettings(Struct, frozen=True, omit_defaults=True):
    """Which model forecasts, the quantile that early reports watch, and how many windows ahead.

    `time_zone` is an IANA name, UTC when empty: days and weeks begin there. `user_header` names the request header by
    which shares are counted per user; when empty no user is told from another.
    """

    model: ShortText
    quantile: Annotated[float, Meta(gt=0.0, lt=1.0)]
    horizon_windows: Annotated[int, Meta(ge=1, le=12)]
    time_zone: ShortText = ""
    user_header: ShortText = ""


class Inherited(Struct, frozen=True, omit_defaults=True):
    """What one pod of a workload usually offers, for a pod that has not learned it: rates are of one pod, tokens/s.

    Means and errors are of windows of `interval_seconds`. `level` is the long-run mean, `scale` the mean absolute error
    of a forecast one window ahead. `weekday` and `weekend` hold, for each quarter of an hour of such a day in the
    policy's time zone, its mean over `level`; both are empty while unknown. `ar`, `ma`, `differenced` are an ARIMA
    whose signs are those of x_t = sum ar_i x_{t-i} + e_t + sum ma_i e_{t-i}, of the differences or of the rate less
    `level`. `experts` are the first weights of the default model's experts, in the order of docs/forecasting.md;
    empty, or summing to 1. `recent` are the last windows of another pod of the workload, the newest last.
    """

    interval_seconds: Seconds
    level: Amount
    scale: Amount
    weekday: Annotated[list[Amount], Meta(max_length=96)] = []
    weekend: Annotated[list[Amount], Meta(max_length=96)] = []
    ar: Annotated[list[Coefficient], Meta(max_length=8)] = []
    ma: Annotated[list[Coefficient], Meta(max_length=8)] = []
    differenced: bool = True
    experts: Annotated[list[Amount], Meta(max_length=16)] = []
    recent: Annotated[list[Amount], Meta(max_length=64)] = []


class QueueSettings(Struct, frozen=True, omit_defaults=True):
    """How long a request may wait for tokens, and how many may wait at once."""

    max_wait_seconds: Seconds
    max_requests: Count


class CostRoute(Struct, frozen=True, omit_defaults=True):
    """Requests of this method (any when empty) to this path cost `cost`.

    In `path`, a segment in braces stands for any one segment, and `/**` at the end for whatever follows.
    """

    path: Annotated[str, Meta(pattern="^/", max_length=256)]
    cost: Amount
    method: Annotated[str, Meta(max_length=32)] = ""


class CostSettings(Struct, frozen=True, omit_defaults=True):
    """Tokens a request costs: the number in the header so named, else its first matching route's, else `default`.

    `per_kilobyte` is added for each 1,000 bytes of its body. With `response_pointer` (RFC 6901) the number found there
    in the JSON of the response, or in the last event of a stream that has it, is the cost; until then what the route's
    requests cost lately is reserved, and `reserve` while that is unknown. Settling leaves at most `max_debt` tokens of
    debt, one burst when it is not set.
    """

    default: Amount
    header: ShortText = ""
    routes: Annotated[list[CostRoute], Meta(max_length=64)] = []
    per_kilobyte: Amount = 0.0
    response_pointer: Annotated[str, Meta(pattern="^(/.*)?$", max_length=256)] = ""
    reserve: Amount | None = None
    max_debt: Amount | None = None


class PolicySettings(Struct, frozen=True, omit_defaults=True):
    """The parts of a TokenPolicy that a sidecar acts on and that may change while it runs."""

    report_interval_seconds: Seconds
    lease_seconds: Seconds
    fallback: Fallback
    forecast: ForecastSettings
    queue: QueueSettings
    cost: CostSettings
