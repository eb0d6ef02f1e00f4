"""An upstream, a policy and an app that calls it without end, in a namespace of their own, and how its calls ended."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from forefill_lab.cluster.kube import SYSTEM, Kube
from forefill_lab.cluster.paths import REPOSITORY as ROOT

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import workload  # type: ignore[import-not-found]

NAMESPACE = "bench-shop"
POLICY = f"{NAMESPACE}/llm"
# Half of the maximum is safe for ten clients that are not known yet: 20 tokens/s each.
FILL_RATE = {"base": 60, "min": 20, "max": 400}
OPERATOR = "app.kubernetes.io/component=operator"


@contextmanager
def shop(kube: Kube, replicas: int = 3, rate: float = 10.0) -> Iterator[None]:
    """`rate` in requests a second and replica, which fits into a safe rate of the policy's maximum."""
    image = kube.cluster.operator_image
    kube.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    kube.apply(workload.namespace(NAMESPACE))
    app = workload.deployment("app", NAMESPACE, image, workload.APP, inject=True, replicas=replicas, rate=rate)
    kube.apply(*workload.upstream(NAMESPACE, image), workload.policy("llm", NAMESPACE, fillRate=FILL_RATE))
    try:
        # Without an upstream there is nothing to call.
        kube.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/upstream", "--timeout=120s")
        kube.apply(app)
        kube.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/app", "--timeout=120s")
        yield
    finally:
        kube.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")


def outcomes(kube: Kube, since: str = "") -> Counter[str]:
    """What every request of the app's pods came to, as they logged it."""
    more = [f"--since-time={since}"] if since else []
    words = ["logs", "-n", NAMESPACE, "-l", "app=app", "-c", "app", "--tail=-1", "--max-log-requests=20", *more]
    return Counter(re.findall(r"^outcome (.*)$", kube.kubectl(*words).stdout, re.MULTILINE))


def enforced(kube: Kube) -> bool:
    status = kube.get("tokenpolicy", "-n", NAMESPACE, "llm").get("status", {})
    return any(each["type"] == "Enforced" and each["status"] == "True" for each in status.get("conditions") or [])


def operator_pod(kube: Kube) -> str:
    """Name of the pod that is not ending; empty while there is none."""
    found = kube.pods(SYSTEM, OPERATOR)
    return str(found[0]["metadata"]["name"]) if found else ""


def figure(kube: Kube, name: str) -> float:
    """One figure of the policy on the operator's page; NaN while it does not answer."""
    pod = operator_pod(kube)
    return kube.metric(SYSTEM, pod, 8080, f'{name}{{policy="{POLICY}"}}') if pod else float("nan")
