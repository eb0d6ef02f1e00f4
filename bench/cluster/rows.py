"""Every kind of pod, and what is expected of it."""

from collections.abc import Sequence

from bench.cluster import checks
from bench.cluster.checks import Row
from bench.cluster.manifests import (
    ASKS,
    CALL,
    EAGER,
    IDLE,
    LAST_WORDS,
    LOOSE,
    OTHER,
    PAUSE,
    STRICT,
    container,
    controlled,
    pod,
    workload,
)

from forefill_lab.cluster.kubectl import Object


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
            check=checks.logged("outcome 200"),
        ),
        Row(
            "StatefulSet",
            controlled("StatefulSet", "stateful", idle, serviceName="none"),
            "connected",
            check=checks.replaced,
        ),
        Row("DaemonSet", controlled("DaemonSet", "daemon", idle), "connected", check=checks.connected),
        Row("Job", job, "completed", ready=False, check=checks.finished),
        Row("CronJob", cronjob, "completed", ready=False, check=checks.finished),
        Row(
            "an init container that calls the upstream",
            pod("init", {"initContainers": [{**once, "name": "migrate"}], **idle}),
            "200",
            check=checks.logged("http://127.0.0.1:17001 200", "migrate"),
        ),
        Row(
            "another native sidecar",
            pod("helper", {"initContainers": [other], **idle}),
            "connected",
            check=checks.connected,
        ),
        Row(
            "two policies",
            pod(
                "both",
                {"containers": [both], "restartPolicy": "OnFailure"},
                {**ASKS, "forefill.io/policy": "llm,search"},
            ),
            "SEARCH_URL",
            ready=False,
            check=checks.logged("SEARCH_URL http://127.0.0.1:17002 200"),
        ),
        Row(
            "a policy of another namespace",
            pod("foreign", idle, {**ASKS, "forefill.io/policy": f"{STRICT}/shared"}, OTHER),
            "connected",
            OTHER,
            check=checks.connected,
        ),
        Row(
            "a policy that does not admit the pod",
            pod("stranger", idle, {**ASKS, "forefill.io/policy": f"{STRICT}/llm"}, OTHER),
            "does not admit",
            OTHER,
            check=checks.refused,
        ),
        Row(
            "a policy that is not there",
            pod("nobody", idle, {**ASKS, "forefill.io/policy": "nobody"}),
            "there is no TokenPolicy",
            check=checks.missed,
        ),
        Row("a variable that the app sets itself", pod("own", own), "bypassed", check=checks.told(checks.bypassed)),
        Row("the app declares port 17001", pod("port", port), "17002", check=checks.told(checks.variables)),
        Row("the app declares port 17020", pod("health", health_port), "declares port 17020", check=checks.refused),
        Row(
            "hostNetwork",
            pod("host", {"hostNetwork": True, "containers": [container(image)]}, namespace=LOOSE),
            "hostNetwork",
            LOOSE,
            check=checks.missed,
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
            check=checks.refused,
        ),
        Row(
            "an image without shell or libraries",
            pod("bare", {"containers": [no_shell]}),
            "connected",
            check=checks.connected,
        ),
        Row("an ephemeral container", pod("debug", idle, namespace=LOOSE), "ephemeral", LOOSE, check=checks.debugged),
        Row(
            "an app as root, beside a sidecar that is not",
            pod("root", {"containers": [as_root]}, namespace=LOOSE),
            "connected",
            LOOSE,
            check=checks.connected,
        ),
        Row(
            "automountServiceAccountToken: false",
            pod("mountless", {**idle, "automountServiceAccountToken": False}),
            "connected",
            check=checks.connected,
        ),
        Row(
            "fsGroup and one process namespace",
            pod("group", {**idle, "securityContext": {"fsGroup": 2000}, "shareProcessNamespace": True}),
            "connected",
            check=checks.connected,
        ),
        Row("sizes by annotation", pod("sizes", idle, sizes), "48Mi", check=checks.told(checks.resources)),
        Row(
            "a mesh's containers are there already (stand-ins)",
            pod("mesh", {"initContainers": mesh, **idle}),
            "istio-proxy, forefill",
            check=checks.told(checks.order),
        ),
        Row(
            "requests after SIGTERM",
            pod("ending", {"containers": [container(image, LAST_WORDS)]}),
            "all 200",
            check=checks.last_words,
        ),
        Row(
            "a namespace with forefill.io/inject: enabled",
            pod("eager", idle, {}, EAGER),
            "connected",
            EAGER,
            check=checks.connected,
        ),
        Row(
            "a pod there that says no", pod("unwilling", idle, said_no, EAGER), "no sidecar", EAGER, check=checks.plain
        ),
        Row("a pod that does not ask", pod("silent", idle, {}), "no sidecar", check=checks.plain),
    ]
