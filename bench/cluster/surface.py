"""The pod surface, row by row: what each kind of pod gets on a real node."""

from collections.abc import Sequence

from bench.cluster.checks import Row, is_ready
from bench.cluster.manifests import EAGER, LOOSE, NAMESPACES, OTHER, STRICT, workload
from bench.cluster.rows import rows

from forefill_lab.cluster.kube import Kube
from forefill_lab.cluster.kubectl import Failed


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
