"""The pod surface, row by row: what each kind of pod gets on a real node."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.cluster.kube import HEALTH_PORT, ROOT, Failed, Kube, Object

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import workload  # type: ignore[import-not-found]

STRICT, LOOSE, EAGER, OTHER = "surface", "surface-loose", "surface-eager", "surface-other"
NAMESPACES = (STRICT, LOOSE, EAGER, OTHER)
ASKS = {"forefill.io/inject": "true", "forefill.io/policy": "llm"}
PAUSE = "localhost/forefill/pause:1"

# Calls once and ends with the outcome.
CALL = """
import os, sys, urllib.request
for name in os.environ["VARIABLES"].split(","):
    print(name, os.environ[name], urllib.request.urlopen(os.environ[name], timeout=20).status, flush=True)
"""
# Goes on calling after SIGTERM, as apps do that finish their work.
LAST_WORDS = """
import os, signal, sys, time, urllib.request
def end(*_):
    for number in range(20):
        print("after SIGTERM", urllib.request.urlopen(os.environ["LLM_BASE_URL"], timeout=5).status, flush=True)
        time.sleep(0.1)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    time.sleep(0.2)
"""
IDLE = "import time\nwhile True: time.sleep(1)"


@dataclass
class Row:
    """One kind of pod. `expected` is a part of its outcome, in words."""

    name: str
    manifest: Object
    expected: str
    namespace: str = STRICT
    ready: bool = True
    check: "Callable[[Kube, Row, Object], str] | None" = None
    label: str = field(default="", init=False)


def container(image: str, script: str = IDLE, name: str = "app", **more: Any) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", script],
        "securityContext": workload.RESTRICTED,
        **more,
    }


def pod(name: str, spec: Object, annotations: dict[str, str] | None = None, namespace: str = STRICT) -> Object:
    told = ASKS if annotations is None else annotations
    metadata = {"name": name, "namespace": namespace, "labels": {"surface": name}, "annotations": told}
    spec = {"terminationGracePeriodSeconds": 5, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def controlled(kind: str, name: str, spec: Object, **more: Any) -> Object:
    template = {"metadata": {"labels": {"surface": name}, "annotations": ASKS}, "spec": spec}
    body: Object = {"template": template, **more}
    if kind != "Job":
        body["selector"] = {"matchLabels": {"surface": name}}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": STRICT}, "spec": body}


def connected(kube: Kube, row: Row, found: Object) -> str:
    """Its sidecar has a stream to the operator."""
    metadata = found["metadata"]
    at = (metadata["namespace"], metadata["name"], HEALTH_PORT, "forefill_sidecar_stream_connected")
    kube.until(lambda: kube.metric(*at) == 1.0, f"{row.name}: the sidecar is connected", 30.0)
    return "injected, ready, connected"


def logged(words: str, container: str = "app") -> Callable[[Kube, Row, Object], str]:
    def check(kube: Kube, row: Row, found: Object) -> str:
        metadata = found["metadata"]
        text = ("logs", "-n", metadata["namespace"], metadata["name"], "-c", container)
        kube.until(lambda: words in kube.kubectl(*text, check=False).stdout, f"{row.name}: the log says {words!r}")
        return f"injected, ready; {container} says: {words}"

    return check


def refused(kube: Kube, row: Row, found: Object) -> str:
    """It starts without a sidecar; its status says why."""
    status = json.loads(found["metadata"]["annotations"].get("forefill.io/status", "{}"))
    if "refused" not in status or sidecar(found):
        raise Failed(f"{row.name}: the status is {status}")
    return f"no sidecar: {status['refused']}"


def plain(kube: Kube, row: Row, found: Object) -> str:
    if sidecar(found):
        raise Failed(f"{row.name}: there is a sidecar")
    return "no sidecar, nothing changed"


def sidecar(found: Object) -> Object | None:
    entries = found["spec"].get("initContainers") or []
    return next((entry for entry in entries if entry["name"] == "forefill"), None)


def told(read: Callable[[Object], object]) -> Callable[[Kube, Row, Object], str]:
    def check(kube: Kube, row: Row, found: Object) -> str:
        return f"{connected(kube, row, found)}; {read(found)}"

    return check


def bypassed(found: Object) -> object:
    status = json.loads(found["metadata"]["annotations"]["forefill.io/status"])
    return f"bypassed: {', '.join(status['bypassed'])}"


def order(found: Object) -> object:
    return f"order: {', '.join(entry['name'] for entry in found['spec']['initContainers'])}"


def resources(found: Object) -> object:
    return json.dumps((sidecar(found) or {})["resources"])


def variables(found: Object) -> object:
    env = found["spec"]["containers"][0].get("env", [])
    return ", ".join(f"{one['name']}={one['value']}" for one in env if one["name"].endswith("_URL"))


def finished(kube: Kube, row: Row, found: Object) -> str:
    kube.until(
        lambda: kube.get("pod", "-n", STRICT, found["metadata"]["name"])["status"]["phase"] == "Succeeded",
        f"{row.name}: the pod ends",
        90.0,
    )
    jobs = kube.get("jobs", "-n", STRICT)["items"]
    done = [job["metadata"]["name"] for job in jobs if job["status"].get("succeeded") == 1]
    return f"injected; completed ({', '.join(sorted(done))})"


def replaced(kube: Kube, row: Row, found: Object) -> str:
    """A StatefulSet's pod comes back under its name, as another client."""
    connected(kube, row, found)
    name, uid = found["metadata"]["name"], found["metadata"]["uid"]
    kube.kubectl("delete", "pod", "-n", STRICT, name, "--wait=true")
    kube.until(
        lambda: bool([p for p in kube.pods(STRICT, f"surface={row.label}") if is_ready(p)]), f"{name} is back", 90.0
    )
    again = kube.get("pod", "-n", STRICT, name)
    if again["metadata"]["uid"] == uid:
        raise Failed(f"{name} was not replaced")
    return f"{connected(kube, row, again)}; the pod after it, too"


def last_words(kube: Kube, row: Row, found: Object) -> str:
    """The sidecar ends after the app: requests that the app makes after SIGTERM still go through."""
    connected(kube, row, found)
    name = found["metadata"]["name"]
    reading = kube.kubectl("delete", "pod", "-n", STRICT, name, "--wait=false")
    lines: list[str] = []

    def ended() -> bool:
        nonlocal lines
        text = kube.kubectl("logs", "-n", STRICT, name, "-c", "app", check=False).stdout
        lines = text.splitlines() or lines
        return len(lines) >= 20 or kube.kubectl("get", "pod", "-n", STRICT, name, check=False).returncode != 0

    kube.until(ended, f"{row.name}: the app's last words", 30.0, pause=0.1)
    good = [line for line in lines if line == "after SIGTERM 200"]
    if len(good) < 15 or len(good) != len(lines):
        raise Failed(f"{row.name}: {lines} {reading.stderr}")
    return f"injected, ready; {len(good)} requests after SIGTERM, all 200"


def debugged(kube: Kube, row: Row, found: Object) -> str:
    name, image = found["metadata"]["name"], kube.cluster.operator_image
    words = ["debug", "-n", LOOSE, name, f"--image={image}", "--image-pull-policy=IfNotPresent", "--profile=restricted"]
    script = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{HEALTH_PORT}/readyz').status)"
    kube.kubectl(*words, "--container=looker", "--attach=false", "--", "python", "-c", script)
    logs = ("logs", "-n", LOOSE, name, "-c", "looker")
    kube.until(lambda: "200" in kube.kubectl(*logs, check=False).stdout, f"{row.name}: the debugger sees the sidecar")
    return "injected, ready; an ephemeral container reaches the sidecar"


def missed(kube: Kube, row: Row, found: Object) -> str:
    reason = refused(kube, row, found)
    about = f"involvedObject.name={found['metadata']['name']},reason=NotInjected"
    events = ("events", "-n", found["metadata"]["namespace"], f"--field-selector={about}")
    kube.until(lambda: bool(kube.get(*events)["items"]), f"{row.name}: the Event is there", 90.0)
    return f"{reason}; Event NotInjected"


def is_ready(found: Object) -> bool:
    conditions = found["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def rows(image: str) -> Sequence[Row]:
    """All rows; `image` has Python."""
    calls = container(image, workload.APP, env=[{"name": "REQUESTS_PER_SECOND", "value": "5"}])
    call_llm = {"env": [{"name": "VARIABLES", "value": "LLM_BASE_URL"}]}
    once = container(image, CALL, **call_llm)
    both = container(image, CALL, env=[{"name": "VARIABLES", "value": "LLM_BASE_URL,SEARCH_URL"}])
    idle = {"containers": [container(image)]}
    ends = {"containers": [once], "restartPolicy": "Never", "terminationGracePeriodSeconds": 5}
    job = controlled("Job", "job", ends)
    cron: Object = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": controlled("Job", "cron", ends)["spec"]}}
    cronjob = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "cron", "namespace": STRICT},
        "spec": cron,
    }
    no_shell = container(PAUSE, name="pause", command=["/pause"])
    other = container(image, IDLE, "helper", restartPolicy="Always")
    mesh = [container(image, "", "istio-init"), container(image, IDLE, "istio-proxy", restartPolicy="Always")]
    port = {"containers": [container(image, ports=[{"containerPort": 17001}])]}
    health_port = {"containers": [container(image, ports=[{"containerPort": 17020}])]}
    own = {"containers": [container(image, env=[{"name": "LLM_BASE_URL", "value": "http://elsewhere"}])]}
    sizes = {**ASKS, "forefill.io/cpu": "20m", "forefill.io/memory": "48Mi", "forefill.io/cpu-limit": "500m"}
    as_root = container(image, securityContext={"runAsUser": 0})
    said_no = {"forefill.io/inject": "false"}
    return [
        Row(
            "Deployment",
            controlled("Deployment", "deployment", {"containers": [calls]}),
            "outcome 200",
            check=logged("outcome 200"),
        ),
        Row(
            "StatefulSet", controlled("StatefulSet", "stateful", idle, serviceName="none"), "connected", check=replaced
        ),
        Row("DaemonSet", controlled("DaemonSet", "daemon", idle), "connected", check=connected),
        Row("Job", job, "completed", ready=False, check=finished),
        Row("CronJob", cronjob, "completed", ready=False, check=finished),
        Row(
            "an init container that calls the upstream",
            pod("init", {"initContainers": [{**once, "name": "migrate"}], **idle}),
            "200",
            check=logged("http://127.0.0.1:17001 200", "migrate"),
        ),
        Row("another native sidecar", pod("helper", {"initContainers": [other], **idle}), "connected", check=connected),
        Row(
            "two policies",
            pod(
                "both",
                {"containers": [both], "restartPolicy": "OnFailure"},
                {**ASKS, "forefill.io/policy": "llm,search"},
            ),
            "SEARCH_URL",
            ready=False,
            check=logged("SEARCH_URL http://127.0.0.1:17002 200"),
        ),
        Row(
            "a policy of another namespace",
            pod("foreign", idle, {**ASKS, "forefill.io/policy": f"{STRICT}/shared"}, OTHER),
            "connected",
            OTHER,
            check=connected,
        ),
        Row(
            "a policy that does not admit the pod",
            pod("stranger", idle, {**ASKS, "forefill.io/policy": f"{STRICT}/llm"}, OTHER),
            "does not admit",
            OTHER,
            check=refused,
        ),
        Row(
            "a policy that is not there",
            pod("nobody", idle, {**ASKS, "forefill.io/policy": "nobody"}),
            "there is no TokenPolicy",
            check=missed,
        ),
        Row("a variable that the app sets itself", pod("own", own), "bypassed", check=told(bypassed)),
        Row("the app declares port 17001", pod("port", port), "17002", check=told(variables)),
        Row("the app declares port 17020", pod("health", health_port), "declares port 17020", check=refused),
        Row(
            "hostNetwork",
            pod("host", {"hostNetwork": True, "containers": [container(image)]}, namespace=LOOSE),
            "hostNetwork",
            LOOSE,
            check=missed,
        ),
        Row(
            "Windows",
            pod(
                "windows",
                {"os": {"name": "windows"}, "containers": [{"name": "app", "image": "app:1"}]},
                namespace=LOOSE,
            ),
            "is for Windows",
            LOOSE,
            ready=False,
            check=refused,
        ),
        Row(
            "an image without shell or libraries", pod("bare", {"containers": [no_shell]}), "connected", check=connected
        ),
        Row("an ephemeral container", pod("debug", idle, namespace=LOOSE), "ephemeral", LOOSE, check=debugged),
        Row(
            "an app as root, beside a sidecar that is not",
            pod("root", {"containers": [as_root]}, namespace=LOOSE),
            "connected",
            LOOSE,
            check=connected,
        ),
        Row(
            "automountServiceAccountToken: false",
            pod("mountless", {**idle, "automountServiceAccountToken": False}),
            "connected",
            check=connected,
        ),
        Row(
            "fsGroup and one process namespace",
            pod("group", {**idle, "securityContext": {"fsGroup": 2000}, "shareProcessNamespace": True}),
            "connected",
            check=connected,
        ),
        Row("sizes by annotation", pod("sizes", idle, sizes), "48Mi", check=told(resources)),
        Row(
            "a mesh's containers are there already (stand-ins)",
            pod("mesh", {"initContainers": mesh, **idle}),
            "istio-proxy, forefill",
            check=told(order),
        ),
        Row(
            "requests after SIGTERM",
            pod("ending", {"containers": [container(image, LAST_WORDS)]}),
            "all 200",
            check=last_words,
        ),
        Row(
            "a namespace with forefill.io/inject: enabled",
            pod("eager", idle, {}, EAGER),
            "connected",
            EAGER,
            check=connected,
        ),
        Row("a pod there that says no", pod("unwilling", idle, said_no, EAGER), "no sidecar", EAGER, check=plain),
        Row("a pod that does not ask", pod("silent", idle, {}), "no sidecar", check=plain),
    ]


def lay(kube: Kube) -> None:
    image = kube.cluster.operator_image
    names = [*NAMESPACES]
    kube.kubectl("delete", "namespace", *names, "--ignore-not-found", "--wait")
    labels = {LOOSE: {}, EAGER: {"forefill.io/inject": "enabled"}}
    for name in names:
        made = workload.namespace(name)
        made["metadata"]["labels"] = {**({} if name == LOOSE else made["metadata"]["labels"]), **labels.get(name, {})}
        kube.apply(made)
    shared = {"clients": {"namespaces": [OTHER]}, "inject": {"env": [{"name": "SHARED_URL"}]}}
    search = {"inject": {"env": [{"name": "SEARCH_URL"}]}}
    upstream = {"upstream": {"url": f"http://upstream.{STRICT}.svc:8000"}}
    kube.apply(
        *workload.upstream(STRICT, image),
        workload.policy("llm", STRICT),
        workload.policy("search", STRICT, **search),
        workload.policy("shared", STRICT, **shared),
        workload.policy("llm", LOOSE, **upstream),
        workload.policy("llm", EAGER, **upstream),
    )
    kube.kubectl("rollout", "status", "-n", STRICT, "deployment/upstream", "--timeout=120s")


def run(kube: Kube) -> list[tuple[str, str, bool]]:
    """Row, what came of it, and whether that is as expected."""
    lay(kube)
    table = rows(kube.cluster.operator_image)
    for row in table:
        kube.apply(row.manifest)
        row.label = row.manifest["metadata"].get("labels", {}).get("surface", row.manifest["metadata"]["name"])
    kube.kubectl("create", "job", "-n", STRICT, "cron-now", "--from=cronjob/cron")
    results = []
    for row in table:
        try:
            outcome = judge(kube, row)
        except Failed as failed:
            outcome = f"FAILED: {failed}"
        results.append((row.name, outcome, row.expected in outcome and "FAILED" not in outcome))
        print(f"{'ok  ' if results[-1][2] else 'BAD '} {row.name}: {outcome}", flush=True)
    return results


def judge(kube: Kube, row: Row) -> str:
    selector = f"surface={row.label}"
    kube.until(lambda: bool(kube.pods(row.namespace, selector)), f"{row.name}: there is a pod", 30.0)
    if row.ready:
        kube.until(
            lambda: all(map(is_ready, kube.pods(row.namespace, selector))), f"{row.name}: the pod is ready", 120.0
        )
    assert row.check is not None
    return row.check(kube, row, kube.pods(row.namespace, selector)[0])


def remove(kube: Kube) -> None:
    kube.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--wait")


def table(results: Sequence[tuple[str, str, bool]]) -> str:
    lines = [f"| {name} | {outcome} |" for name, outcome, _ in results]
    return "\n".join(["| pod | on the node |", "| --- | --- |", *lines])
