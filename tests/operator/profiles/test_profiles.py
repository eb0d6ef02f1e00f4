import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from forefill_operator.client import Client
from forefill_operator.controller import Controller
from forefill_operator.policy import TokenPolicy
from forefill_operator.profiles.days import Days
from forefill_operator.profiles.metrics import ProfileMetrics
from forefill_operator.profiles.past import Fitted
from forefill_operator.profiles.pasts import Kept
from forefill_operator.profiles.profiles import Profiles
from forefill_operator.profiles.shelf import Shelf
from forefill_operator.status import BestModel
from forefill_protocol.messages import PolicyReport, Report

MakePolicy = Callable[..., TokenPolicy]
DAY = 20_000 * 86400.0


def pod(letter: str, namespace: str = "ai", workload: str = "Deployment/web", **labels: str) -> Client:
    return Client(namespace, "default", f"web-{letter}", f"uid-{letter}", labels, workload)


def report(number: int, offered: float, policy: str = "ai/llm") -> Report:
    return Report(number, [PolicyReport(policy, 10.0, offered, offered, 0.0, 0.0, 1, [])])


def profiles_of(*policies: TokenPolicy) -> Profiles:
    return Profiles({policy.key: policy for policy in policies}.get, CollectorRegistry(), wall_clock=lambda: DAY)


def hear(profiles: Profiles, client: Client, policy: str = "ai/llm") -> None:
    for number in range(1, 31):
        profiles.heard(client, report(number, 20.0, policy), 10.0 * number)


def test_what_is_known_of_a_workload_is_for_its_pods_under_the_same_policy(make_policy: MakePolicy) -> None:
    profiles = profiles_of(make_policy(), make_policy(metadata__name="api"))
    hear(profiles, pod("a"))
    assert profiles.inherited(pod("b"), "ai/llm", 300.0) is not None
    assert profiles.inherited(pod("b"), "ai/api", 300.0) is None
    assert profiles.inherited(pod("b", workload="Deployment/api"), "ai/llm", 300.0) is None
    assert profiles.inherited(pod("b", namespace="shop"), "ai/llm", 300.0) is None


@pytest.mark.parametrize(
    "client", [pod("a", namespace="shop"), pod("a", tier="batch"), pod("a", workload="")], ids=["away", "batch", "own"]
)
def test_pods_that_are_not_admitted_or_of_no_workload_teach_nothing(client: Client, make_policy: MakePolicy) -> None:
    selector = {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}
    profiles = profiles_of(make_policy(spec__clients__podSelector=selector))
    hear(profiles, client)
    hear(profiles, pod("a"), "ai/unknown")
    assert profiles.inherited(pod("b", namespace=client.namespace, **client.labels), "ai/llm", 300.0) is None


def test_days_begin_where_the_policys_clocks_say(make_policy: MakePolicy) -> None:
    policy, wall_now = make_policy(spec__forecast__timeZone="Asia/Kolkata"), DAY
    profiles = Profiles({"ai/llm": policy}.get, CollectorRegistry(), wall_clock=lambda: wall_now)
    # Half past five in the morning there, and half past five in the afternoon.
    for seconds, offered in ((0.0, 10.0), (43_200.0, 30.0)):
        wall_now = DAY + seconds
        for number in range(1, 31):
            profiles.heard(pod("a"), report(number, offered), seconds + 10.0 * number)
    found = profiles.inherited(pod("b"), "ai/llm", 43_500.0)
    assert found is not None
    assert {slot: factor for slot, factor in enumerate(found.weekday) if factor != 1.0} == {22: 0.5, 70: 1.5}


async def test_fits_are_made_when_the_night_comes_and_once_a_night(make_policy: MakePolicy) -> None:
    registry, began = CollectorRegistry(), time.monotonic()
    profiles = Profiles(
        lambda key: None,
        registry,
        wall_clock=lambda: DAY + 3600.0 - 0.05 + time.monotonic() - began,
        fits_at=3600.0,
    )

    def seconds() -> float:
        return registry.get_sample_value("forefill_profile_fit_seconds") or 0.0

    task = asyncio.create_task(profiles.run())
    async with asyncio.timeout(10.0):
        while not (first := seconds()):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert seconds() == first
    profiles.ask()
    async with asyncio.timeout(10.0):
        while seconds() == first:
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_a_workload_has_one_series_and_none_once_it_is_forgotten() -> None:
    registry = CollectorRegistry()
    metrics = ProfileMetrics(registry)

    def series() -> dict[str, float]:
        (found,) = [each for each in registry.collect() if each.name == "forefill_workload_best_model"]
        return {sample.labels["model"]: sample.value for sample in found.samples}

    for name, skill in (("Ensemble", 0.3), ("Arima", 0.4)):
        metrics.best_models({"ai/llm": [BestModel("ai/Deployment/web", name, skill)]})
        assert series() == {name: skill}
    metrics.best_models({})
    assert series() == {}


def test_the_status_names_those_first_that_another_model_would_serve_better(make_policy: MakePolicy) -> None:
    controller = Controller(first_start=True)
    controller.put_policy(make_policy(), 0.0)
    used = [BestModel(f"ai/{number}", "Ensemble", 0.2) for number in range(6)]
    better = BestModel("ai/9", "Arima", 0.3)

    def shown() -> list[BestModel]:
        found = controller.status("ai/llm", 0.0)
        assert found is not None
        return found.best_models

    assert shown() == []
    controller.audited("ai/llm", [*used, better])
    assert shown() == [better, *used[:4]]
    controller.remove_policy("ai/llm", 1.0)
    controller.put_policy(make_policy(), 2.0)
    assert shown() == []


def test_what_was_audited_before_is_told_again_by_the_next_operator(tmp_path: Path) -> None:
    fitted = Fitted([], [], {"Arima": 0.3, "LastValue": 0.0}, "Arima")
    Shelf(tmp_path / "profiles").write([Kept("ai/llm", "ai/Deployment/web", 10.0, Days(), 0.0, fitted)])
    told: dict[str, Sequence[BestModel]] = {}
    profiles = Profiles(lambda key: None, CollectorRegistry(), tmp_path / "profiles", tell=told.__setitem__)

    async def begin() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(profiles.run(), 0.2)

    asyncio.run(begin())
    assert told == {"ai/llm": [BestModel("ai/Deployment/web", "Arima", 0.3)]}


async def test_a_signal_asks_the_operator_for_fits(tmp_path: Path, make_manifest: Callable[[Any], Any]) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "llm.yaml").write_text(yaml.safe_dump(make_manifest({})))
    (tmp_path / "tokens.csv").write_text("one,web-0,uid-0,ai,Deployment/web\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forefill", "operator",
        f"--policies={tmp_path / 'policies'}", "--listen=127.0.0.1:0", f"--state={tmp_path}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    lines = process.stderr
    assert b"streams on 127.0.0.1:" in await asyncio.wait_for(lines.readline(), 60.0)
    process.send_signal(signal.SIGUSR1)
    assert b"fitted 0 workloads in 0 s" in await asyncio.wait_for(lines.readline(), 60.0)
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 30.0)
    assert (process.returncode, errors, (tmp_path / "profiles").exists()) == (0, b"", True)
