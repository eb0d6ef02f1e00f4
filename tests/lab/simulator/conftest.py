"""Policies and demands that are small enough to follow by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forefill_lab.simulator.demand import Demand, demand
from forefill_lab.simulator.policies import constant
from forefill_operator.policy import TokenPolicy

MANIFEST = """\
apiVersion: forefill.io/v1alpha1
kind: TokenPolicy
metadata: {name: llm, namespace: ai}
spec:
  mode: Enforce
  upstream: {url: "http://llm.ai.svc:8000"}
  inject: {env: []}
  fillRate: {base: 20, min: 20, max: 20}
"""


MakePolicy = Callable[..., TokenPolicy]


@pytest.fixture
def make_policy() -> MakePolicy:
    """`make_policy(rate, **spec)`: min = base = max = `rate`; everything else at its default unless given."""

    def make(rate: float = 20.0, **spec: Any) -> TokenPolicy:
        return constant(rate, **spec)

    return make


@pytest.fixture
def poisson() -> Callable[[list[float], int], Demand]:
    """`poisson(rates, ticks)`: one client a rate, tokens/s, in ticks of a second."""

    def make(rates: list[float], ticks: int) -> Demand:
        tokens = np.random.default_rng(1).poisson(rates, (ticks, len(rates))).astype(float)
        return demand(tokens, 1.0, [f"c{index}" for index in range(len(rates))])

    return make


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A file with a policy of 20 tokens/s."""
    path = tmp_path / "policy.yaml"
    path.write_text(MANIFEST)
    return path


@pytest.fixture
def files(tmp_path: Path, manifest: Path) -> Callable[[str], list[str]]:
    """Writes the demand that it is given beside the policy; returns the arguments that name both."""

    def write(demand_text: str) -> list[str]:
        (tmp_path / "demand.csv").write_text(demand_text)
        return ["--policy", str(manifest), "--demand", str(tmp_path / "demand.csv")]

    return write
