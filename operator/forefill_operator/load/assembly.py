"""Puts the sources together and the watch that asks them. A library is imported only where a source needs it."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from forefill_operator.controller import Controller
from forefill_operator.kube.api import Api
from forefill_operator.load.metrics import LoadCollector, query_seconds
from forefill_operator.load.sources import PrometheusSource, Sources
from forefill_operator.load.watch import Source, Watch


def watch_of(controller: Controller, sources: Sources, registry: CollectorRegistry, client: Api | None = None) -> Watch:
    """`client` is that of a cluster; without one there is the machine."""
    took = query_seconds(registry)
    built: dict[str, Source] = dict(_prometheus(sources.prometheus, took)) if sources.prometheus else {}
    if client is not None:
        from forefill_operator.load.kubernetes_metrics import KubernetesMetrics

        built["kubernetes"] = KubernetesMetrics(client, sources.kubernetes.namespaces)
    else:
        from forefill_operator.load.machine import Machine

        built["machine"] = Machine(sources.machine.network_bytes_per_second)
    watch = Watch(controller, built)
    registry.register(LoadCollector(watch))
    return watch


def _prometheus(
    sources: Mapping[str, PrometheusSource], took: Callable[[str], Callable[[float], None]]
) -> Mapping[str, Source]:
    from forefill_operator.load.prometheus import Prometheus

    return {name: Prometheus(source, took(name)) for name, source in sources.items()}
