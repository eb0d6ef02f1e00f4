"""A real stream server of an operator, and TLS for it on loopback, as tests put them together."""

import datetime
import ssl
import time
from pathlib import Path
from typing import Any

from forefill_operator import schema
from forefill_operator.controller import Controller
from forefill_operator.identity import StaticTokens
from forefill_operator.kube import tls
from forefill_operator.metrics import Metrics
from forefill_operator.policy import parse_policy
from forefill_operator.state_folder import ensure_certificate
from forefill_operator.stream_server import StreamServer


def manifest(name: str = "llm", namespace: str = "default", generation: int = 1, **spec: Any) -> Any:
    """A small enforced policy; `spec` replaces or adds fields."""
    least = {
        "mode": "Enforce",
        "upstream": {"url": "http://llm.ai.svc:8000"},
        "fillRate": {"base": 10, "min": 10, "max": 100},
    }
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", "generation": generation}
    return {
        "apiVersion": "forefill.io/v1alpha1",
        "kind": "TokenPolicy",
        "metadata": metadata,
        "spec": {**least, **spec},
    }


def server_of(tokens: Path, *manifests: Any, first_start: bool = True, **options: Any) -> StreamServer:
    """Not started yet; it knows the clients of the file `tokens`."""
    controller = Controller(first_start=first_start)
    for each in manifests:
        controller.put_policy(parse_policy(schema.complete(each)), time.monotonic())
    return StreamServer(controller, StaticTokens(tokens), Metrics(), time.monotonic, **options)


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server for localhost serves with, and what trusts it; the same each time for a folder."""
    certificate, key = ensure_certificate(folder, ["localhost"], datetime.datetime.now(datetime.UTC))
    serving = tls.server_context()
    serving.load_cert_chain(certificate, key)
    return serving, ssl.create_default_context(cafile=str(folder / "ca.crt"))
