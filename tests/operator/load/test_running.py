"""`forefill operator` as a process, with a real Prometheus; and the expressions that the documentation offers."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from forefill_operator.load.prometheus import Prometheus
from forefill_operator.policy import TokenPolicy

DOCUMENT = Path(__file__).parents[3] / "docs" / "load.md"
Figures = Callable[[], Awaitable[Mapping[str, float]]]
CPU = '1 - avg(rate(node_cpu_seconds_total{mode="idle"}[30s]))'


def offered() -> list[tuple[str, str]]:
    """What stands in the document's YAML blocks as expressions."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    found = []
    for body in (yaml.safe_load(block) for block in blocks):
        load = body.get("spec", {}).get("load", body)
        found += [(part, load[part]) for part in ("cpu", "memory", "network", "clients") if part in load]
    return found


def test_the_document_offers_expressions_for_four_exporters() -> None:
    assert len(offered()) == 13


@pytest.mark.parametrize(("part", "expression"), offered())
async def test_an_offered_expression_is_promql(
    real_prometheus: str,
    ask: Callable[..., Prometheus],
    make_policy: Callable[..., TokenPolicy],
    part: str,
    expression: str,
) -> None:
    policy, source = make_policy(spec__load={part: expression}), ask(real_prometheus)
    if part == "clients":
        rates = await source.rates(policy)
        assert rates is not None
        assert rates.faults == []
    else:
        (reading,) = (await source.read(policy)).values()
        assert reading.fault is not None
        assert reading.fault.kind == "NoSeries"


@pytest.mark.parametrize(("part", "expression"), offered()[2:5])
async def test_what_is_offered_for_the_node_exporter_measures_a_real_one(
    real_prometheus: str,
    ask: Callable[..., Prometheus],
    make_policy: Callable[..., TokenPolicy],
    part: str,
    expression: str,
) -> None:
    policy = make_policy(spec__load={part: expression.replace("llm-", "127")})
    reading = (await ask(real_prometheus).read(policy))[part]  # type: ignore[index]
    assert reading.fault is None
    assert reading.value is not None


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Figures]]]:
    """Starts an operator with these sources, this load in its policy and more of its spec; what gives its figures."""
    processes: list[asyncio.subprocess.Process] = []
    session = aiohttp.ClientSession()

    async def run(sources: Mapping[str, Any], load: Mapping[str, Any], more: Mapping[str, Any] = {}) -> Figures:
        spec = {
            "upstream": {"url": "http://127.0.0.1:9"},
            "fillRate": {"base": 50, "min": 20, "max": 100},
            "report": {"intervalSeconds": 1, "leaseSeconds": 3},
            "load": dict(load),
            **more,
        }
        manifest = {
            "apiVersion": "forefill.io/v1alpha1", "kind": "TokenPolicy", "metadata": {"name": "llm"}, "spec": spec,
        }  # fmt: skip
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "llm.yaml").write_text(yaml.safe_dump(manifest))
        (tmp_path / "sources.yaml").write_text(yaml.safe_dump(dict(sources)))
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "tokens.csv").write_text("t,a,uid-a\n")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "forefill", "operator", "--listen=127.0.0.1:0", "--health=127.0.0.1:0",
            f"--policies={tmp_path / 'policies'}", f"--state={tmp_path / 'state'}",
            f"--load-sources={tmp_path / 'sources.yaml'}", stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        assert process.stderr is not None
        while (found := re.search(rb"health and metrics on (\S+)", await process.stderr.readline())) is None:
            pass
        url = f"http://{found[1].decode()}/metrics"

        async def figures() -> Mapping[str, float]:
            async with session.get(url) as response:
                text = await response.text()
            return {name: float(value) for name, value in re.findall(r"^(forefill_\S+) (\S+)$", text, re.M)}

        return figures

    yield run
    await session.close()
    for process in processes:
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 15.0)
        assert process.returncode == 0, log.decode()


async def until(figures: Figures, name: str, value: float) -> Mapping[str, float]:
    async with asyncio.timeout(30.0):
        while (found := await figures()).get(name) != value:
            await asyncio.sleep(0.1)
    return found


KNOWN, UNKNOWN = (
    f'forefill_policy_load_state{{policy="default/llm",state="{state}"}}' for state in ("Known", "Unknown")
)


TARGET = 'forefill_policy_target{policy="default/llm"}'


async def test_an_operator_follows_a_real_prometheus(real_prometheus: str, start: Any) -> None:
    figures = await start({"prod": {"url": real_prometheus, "namespaces": ["*"]}}, {"source": "prod", "cpu": CPU})
    found = await until(figures, KNOWN, 1.0)
    assert 0.0 <= found['forefill_policy_load{part="cpu",policy="default/llm"}'] <= 1.0
    assert found['forefill_operator_load_query_seconds_count{source="prod"}'] >= 1.0
    assert not any(name.startswith("forefill_policy_load_faults") for name in found)


async def test_the_target_falls_under_load_and_is_the_demand_s_again_when_the_source_stays_away(
    liar: Any, start: Any
) -> None:
    is_away = False

    async def answer(request: web.Request) -> web.Response:
        result = [{"metric": {}, "value": [0, "1"]}]
        return web.json_response({"data": {"result": result}}, status=500 if is_away else 200)

    sources = {"prod": {"url": await liar(answer), "namespaces": ["*"]}}
    load = {"source": "prod", "cpu": "up", "staleAfterSeconds": 1}
    figures = await start(sources, load, {"weights": {"load": -20}})
    await until(figures, TARGET, 30.0)
    is_away = True
    await until(figures, UNKNOWN, 1.0)
    await until(figures, TARGET, 50.0)


async def test_an_operator_goes_on_without_its_source_and_ends_in_time(start: Any) -> None:
    sources = {"prod": {"url": "http://127.0.0.1:1", "namespaces": ["*"], "timeoutSeconds": 1}}
    figures = await start(sources, {"source": "prod", "cpu": "up"})
    found = await until(figures, UNKNOWN, 1.0)
    assert found['forefill_policy_load_faults_total{kind="Unreachable",policy="default/llm"}'] >= 1.0


async def test_an_operator_without_a_cluster_measures_its_machine(start: Any) -> None:
    figures = await start({"machine": {"networkBytesPerSecond": 1e9}}, {"source": "machine"})
    found = await until(figures, KNOWN, 1.0)
    parts = {name: value for name, value in found.items() if name.startswith("forefill_policy_load{")}
    assert len(parts) == 3
