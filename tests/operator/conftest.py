"""What several tests of the operator start from."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import settings

from forefill_operator import schema
from forefill_operator.policy import TokenPolicy, parse_policy

# How long a case takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MANIFEST: Mapping[str, Any] = {
    "apiVersion": "forefill.io/v1alpha1",
    "kind": "TokenPolicy",
    "metadata": {"namespace": "ai", "name": "llm", "uid": "policy-uid", "generation": 1},
    "spec": {
        "mode": "Enforce",
        "upstream": {"url": "http://llm.ai.svc:8000"},
        "inject": {"env": [{"name": "OPENAI_BASE_URL", "path": "/v1"}]},
        "fillRate": {"base": 50, "min": 20, "max": 400},
    },
}


@pytest.fixture(scope="session")
def make_manifest() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A manifest with all defaults, and the values at the given dotted paths (`spec.fillRate.max`) replaced."""

    def make(changes: Mapping[str, Any]) -> dict[str, Any]:
        manifest = schema.defaulted(MANIFEST)
        for path, value in changes.items():
            *parents, name = path.split(".")
            at = manifest
            for parent in parents:
                at = at.setdefault(parent, {})
            at[name] = value
        return schema.defaulted(manifest)

    return make


@pytest.fixture(scope="session")
def make_policy(make_manifest: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[..., TokenPolicy]:
    def make(**changes: Any) -> TokenPolicy:
        return parse_policy(make_manifest({name.replace("__", "."): value for name, value in changes.items()}))

    return make
