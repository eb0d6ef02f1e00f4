"""From the answer to a PromQL query to a part of the load, or to the named fault that keeps it from being one.

An answer is the decoded `data.result` of Prometheus's HTTP API: a list of series, or the pair of a scalar.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeGuard

from msgspec import Struct

Part = Literal["cpu", "memory", "network"]
PARTS: Sequence[Part] = ("cpu", "memory", "network")

Kind = Literal[
    "NoSeries", "ManySeries", "NotANumber", "NotFinite", "Negative", "AboveOne", "BadAnswer",
    "Refused", "Redirected", "TooLarge", "TimedOut", "Unreachable", "NotMeasured",
    "NoExpression", "UnknownSource", "SourceNotAllowed",
]  # fmt: skip

# rate() extrapolates, so that an idle or a full CPU comes out this far beyond its bounds.
SLACK = 0.02
# Clients of one policy that are compared with the upstream's own counters.
MOST_CLIENTS = 20_000
_MOST_SHOWN = 40


class Fault(Struct, frozen=True):
    """What is wrong with a measurement, by name for a metric and as the sentence for who has to mend it."""

    kind: Kind
    sentence: str


class Reading(Struct, frozen=True):
    """One measurement of one part. `value` in [0, 1], None when there is none; a bounded value has both."""

    value: float | None
    fault: Fault | None = None


class Rates(Struct, frozen=True):
    """Tokens/s by NAMESPACE/NAME of the pod, as the upstream counted them; `faults` of the series left out."""

    by_pod: Mapping[str, float]
    faults: Sequence[Fault] = []


def reading_of(answer: object) -> Reading:
    """The one number in an answer. What rate() puts slightly out of bounds is bounded without a word."""
    sample = _only_sample(answer)
    if isinstance(sample, Fault):
        return Reading(None, sample)
    number = number_of(sample)
    return Reading(None, number) if isinstance(number, Fault) else bounded(number)


def bounded(number: float) -> Reading:
    """A part in [0, 1] from any finite number. Above 1 counts as 1: an overload must not pass for ignorance."""
    if number < -SLACK:
        return Reading(None, Fault("Negative", f"is {number:g}, but must be from 0 to 1"))
    if number > 1.0 + SLACK:
        sentence = f"is {number:g} and counts as 1: it must be from 0 to 1, a percentage divided by 100"
        return Reading(1.0, Fault("AboveOne", sentence))
    return Reading(min(max(number, 0.0), 1.0))


def rates_of(answer: object, namespace: str) -> Rates:
    """Rates by the labels `namespace` (where left out: the policy's) and `pod`; a pod's several series are added."""
    if not isinstance(answer, list) or _is_sample(answer):
        return Rates({}, [Fault("BadAnswer", "gives no series, but must give one a client, with the label pod")])
    rates: dict[str, float] = {}
    faults: list[Fault] = []
    for series in answer[:MOST_CLIENTS]:
        rate = _rate(series, namespace)
        if isinstance(rate, Fault):
            faults.append(rate)
        else:
            pod, value = rate
            rates[pod] = rates.get(pod, 0.0) + value
    if len(answer) > MOST_CLIENTS:
        faults.append(Fault("ManySeries", f"gives {len(answer)} series; the first {MOST_CLIENTS} count"))
    return Rates({pod: rate for pod, rate in rates.items() if math.isfinite(rate)}, faults)


def number_of(sample: object) -> float | Fault:
    """The finite number of Prometheus's pair of time and text."""
    text = sample[1] if _is_sample(sample) else None
    if not isinstance(text, str):
        return Fault("BadAnswer", f"gives {shown(text)}, where Prometheus gives a number in a text")
    # float() also takes 1_000, which Prometheus never writes.
    if "_" in text:
        return Fault("NotANumber", f"gives {shown(text)}, which is no number")
    try:
        number = float(text)
    except ValueError:
        return Fault("NotANumber", f"gives {shown(text)}, which is no number")
    if not math.isfinite(number):
        return Fault("NotFinite", f"is {shown(text)}, not a finite number; is something divided by 0?")
    return number


def shown(value: object) -> str:
    """What others sent, fit for a sentence: printable and short."""
    text = ascii(value if not isinstance(value, str) else value[: _MOST_SHOWN + 1])
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _rate(series: object, namespace: str) -> tuple[str, float] | Fault:
    labels = series.get("metric") if isinstance(series, dict) else None
    if not isinstance(labels, dict) or not isinstance(labels.get("pod"), str):
        return Fault("BadAnswer", "gives a series without the label pod")
    number = number_of(series["value"]) if isinstance(series, dict) and "value" in series else _SHAPELESS
    if isinstance(number, Fault):
        return number
    if number < 0:
        return Fault("Negative", f"is {number:g} for pod {shown(labels['pod'])}, but must not be negative")
    return f"{labels.get('namespace', namespace)}/{labels['pod']}", number


_SHAPELESS = Fault("BadAnswer", "gives something else than one number a series; does it end in a range such as [5m]?")


def _only_sample(answer: object) -> object | Fault:
    if _is_sample(answer):
        return answer
    if not isinstance(answer, list):
        return _SHAPELESS
    if not answer:
        return Fault("NoSeries", "gives no series; does the metric still have this name, and is it scraped?")
    if len(answer) > 1:
        return Fault("ManySeries", f"gives {len(answer)} series, but must give one; put it in avg() or max()")
    series = answer[0]
    return series["value"] if isinstance(series, dict) and "value" in series else _SHAPELESS


def _is_sample(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list) and len(value) == 2 and not isinstance(value[0], dict | list)
