"""A policy whose fill rate is constant, everything else at its default: what simulations compare controllers under."""

from typing import Any

from forefill_operator import schema
from forefill_operator.policy import API_VERSION, KIND, TokenPolicy, parse_policy


def constant(rate: float, namespace: str = "ai", **spec: Any) -> TokenPolicy:
    """min = base = max = `rate`, tokens/s; `spec` replaces or adds fields."""
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "llm", "namespace": namespace, "uid": "uid", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "upstream": {"url": f"http://llm.{namespace}.svc:8000"},
            "inject": {"env": []},
            "fillRate": {"base": rate, "min": rate, "max": rate},
            **spec,
        },
    }
    return parse_policy(schema.complete(manifest))
