"""What must be true of a pod once it is there: each check gives the outcome in words, or raises Failed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.cluster.manifests import LOOSE, STRICT

from forefill_lab.cluster.kube import HEALTH_PORT, Kube
from forefill_lab.cluster.kubectl import Failed, Object


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
