"""What several tests of the operator start from."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from forefill_operator.policy import TokenPolicy, parse_policy

MANIFEST: Mapping[str, Any] = {
    "apiVersion": "forefill.io/v1alpha1",
    "kind": "TokenPolicy",
    "metadata": {"namespace": "ai", "name": "llm", "uid": "policy-uid", "generation": 1},
    "spec": {
        "mode": "Enforce",
        "upstream": {"url": "http://llm.ai.svc:8000"},
        "inject": {"port": 17001, "env": [{"name": "OPENAI_BASE_URL", "path": "/v1"}]},
        "clients": {},
        "fillRate": {"base": 50, "min": 20, "max": 400},
        "burst": {"seconds": 3},
        "weights": {"prediction": {"initial": 1.0, "min": 0.8, "max": 1.5}},
        "forecast": {"model": "Ensemble", "quantile": 0.95, "horizonWindows": 3},
        "report": {"intervalSeconds": 10, "leaseSeconds": 30},
        "cost": {"default": 1},
        "queue": {"maxWaitSeconds": 5, "maxRequests": 1000},
        "fallback": "Safe",
    },
}


@pytest.fixture(scope="session")
def make_manifest() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A whole manifest, with the values at the given dotted paths (`spec.fillRate.max`) replaced."""

    def make(changes: Mapping[str, Any]) -> dict[str, Any]:
        manifest = copy.deepcopy(dict(MANIFEST))
        for path, value in changes.items():
            *parents, name = path.split(".")
            at = manifest
            for parent in parents:
                at = at.setdefault(parent, {})
            at[name] = value
        return manifest

    return make


@pytest.fixture(scope="session")
def make_policy(make_manifest: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[..., TokenPolicy]:
    def make(**changes: Any) -> TokenPolicy:
        return parse_policy(make_manifest({name.replace("__", "."): value for name, value in changes.items()}))

    return make
