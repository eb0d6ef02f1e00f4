"""The ensemble on real traces of an hour each: shorter than it is tuned for, so that a bad start would show."""

import csv
import os
from datetime import datetime
from pathlib import Path

import pytest

from forefill_sidecar import scoring
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.scoring import Scored, Window

WARM_UP = 30


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("FOREFILL_DATA")
    if not folder:
        pytest.skip("FOREFILL_DATA does not name the folder of traces")
    return Path(folder)


def autothrottle(data: Path, shape: str) -> list[float]:
    seconds = [float(line) for line in (data / f"request_rate_1s/autothrottle_{shape}.txt").read_text().split()]
    return [sum(seconds[start : start + 10]) for start in range(0, len(seconds), 10)]


def azure(data: Path) -> list[float]:
    with (data / "llm_tokens/AzureLLMInferenceTrace_conv.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    times = [datetime.fromisoformat(row[0][:26]) for row in rows]
    values = [0.0] * (int((times[-1] - times[0]).total_seconds() // 10) + 1)
    for time, row in zip(times, rows, strict=True):
        values[int((time - times[0]).total_seconds() // 10)] += float(row[1]) + float(row[2])
    return values[:-1]


def scored(values: list[float], model: str) -> list[Scored]:
    rows = scoring.progressive_validation(Predictor(model, 3), map(Window, values))
    return [row for row in rows if row.step >= WARM_UP]


@pytest.mark.parametrize(("trace", "near", "far"), [("diurnal", 1.0, 1.0), ("bursty", 0.8, 0.9), ("azure", 0.85, 0.85)])
def test_beats_the_last_value_and_covers_what_it_says(data: Path, trace: str, near: float, far: float) -> None:
    values = azure(data) if trace == "azure" else autothrottle(data, trace)
    ours, naive = scored(values, "Ensemble"), scored(values, "LastValue")
    for horizon, bound in ((1, near), (3, far)):
        error = scoring.mean_absolute_error(ours, horizon) / scoring.mean_absolute_error(naive, horizon)
        assert error <= bound
        assert 0.94 <= scoring.coverage(ours, horizon) <= 0.965
