"""The policy that benchmarks run under: a constant rate, everything else at its default."""

from typing import Any

from forefill_operator import schema
from forefill_operator.policy import API_VERSION, KIND, TokenPolicy, parse_policy


def policy(rate: float, **spec: Any) -> TokenPolicy:
    """min = base = max = `rate`, tokens/s; `spec` replaces or adds fields."""
    manifest = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "bench", "namespace": "bench", "uid": "bench", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "upstream": {"url": "http://upstream.bench.svc:80"},
            "inject": {"env": []},
            "fillRate": {"base": rate, "min": rate, "max": rate},
            **spec,
        },
    }
    return parse_policy(schema.complete(manifest))
