import asyncio
import time
from pathlib import Path
from typing import Any

import certifi
import httpx
import msgspec
import pytest

from forefill_protocol.messages import Assignment, Spread
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostRoute, CostSettings
from forefill_sidecar.joined import JoinedSidecar
from forefill_sidecar.keepsake import Keepsake, Kept
from forefill_sidecar.reporter import Operator

OPERATOR = Operator("wss://localhost:1/v1/stream", "", Path("token"))


def assignment(policy: str = "ns/llm") -> Assignment:
    return Assignment(
        policy=policy,
        policy_uid="uid",
        policy_generation=2,
        grant_sequence=7,
        answers=4,
        fill_rate=40.0,
        burst=60.0,
        safe_rate=8.0,
        next_report_seconds=10.0,
        rate_seconds=1000.0,
        lease_seconds=2000.0,
        mode="Enforce",
    )


def samples(joined: JoinedSidecar) -> dict[str, float]:
    """All samples of the stream's families, by name and labels as they stand on a page."""
    return {
        family.name + suffix + "".join(f" {name}={value}" for name, value in labels): float(value)
        for family in joined.figures.families(joined.reporter, joined.agent)
        for suffix, labels, value in family.samples
    }


def test_a_sidecar_without_an_answer_says_so(net: Any) -> None:
    joined = JoinedSidecar([net.pod_listener("http://127.0.0.1:1")], OPERATOR, [])
    joined.figures.count("connect_failed")
    joined.figures.count("connect_failed")
    assert samples(joined) == {
        "forefill_sidecar_recalls_total policy=ns/llm": 0.0,
        "forefill_sidecar_lumps_total policy=ns/llm": 0.0,
        "forefill_sidecar_lump_tokens_total policy=ns/llm": 0.0,
        "forefill_sidecar_given_tokens_total policy=ns/llm": 0.0,
        "forefill_sidecar_declared_tokens_total policy=ns/llm": 0.0,
        "forefill_sidecar_forecast_windows_total policy=ns/llm": 0.0,
        "forefill_sidecar_covered_windows_total policy=ns/llm": 0.0,
        "forefill_sidecar_gap_windows_total policy=ns/llm": 0.0,
        "forefill_sidecar_forecast_tokens_total policy=ns/llm": 0.0,
        "forefill_sidecar_forecast_error_tokens_total policy=ns/llm": 0.0,
        "forefill_sidecar_declared_reliability policy=ns/llm": 1.0,
        "forefill_sidecar_early_reports_total policy=ns/llm reason=demand": 0.0,
        "forefill_sidecar_early_reports_total policy=ns/llm reason=queue": 0.0,
        "forefill_sidecar_early_reports_total policy=ns/llm reason=slack": 0.0,
        "forefill_sidecar_early_reports_total policy=ns/llm reason=declared": 0.0,
        "forefill_sidecar_stream_connected": 0.0,
        "forefill_sidecar_stream_events_total event=connect_failed": 2.0,
        "forefill_sidecar_lease_state policy=ns/llm state=none": 1.0,
        "forefill_sidecar_lease_state policy=ns/llm state=active": 0.0,
        "forefill_sidecar_lease_state policy=ns/llm state=expired": 0.0,
        "forefill_sidecar_lease_state policy=ns/llm state=abandoned": 0.0,
        "forefill_sidecar_allowed_tokens_per_second policy=ns/llm": 0.0,
        "forefill_sidecar_forecast_tokens_per_second policy=ns/llm": 0.0,
    }


def test_every_policy_has_its_own_samples(net: Any) -> None:
    listeners = [net.pod_listener("http://127.0.0.1:1", policy=policy) for policy in ("ns/llm", "ns/api")]
    joined = JoinedSidecar(listeners, OPERATOR, [])
    joined.agent.hello()
    joined.agent.receive(msgspec.structs.replace(assignment("ns/api"), answers=0))
    found = samples(joined)
    assert found["forefill_sidecar_lease_state policy=ns/llm state=none"] == 1.0
    assert found["forefill_sidecar_lease_state policy=ns/api state=active"] == 1.0
    assert found["forefill_sidecar_allowed_tokens_per_second policy=ns/api"] == 40.0


def test_a_lease_that_was_kept_goes_on_after_a_restart(net: Any, tmp_path: Path) -> None:
    Keepsake(tmp_path).save([Kept(assignment(), time.time() - 5.0)])
    joined = JoinedSidecar([net.pod_listener("http://127.0.0.1:1")], OPERATOR, [], tmp_path)
    (holding,) = joined.agent.hello().holdings
    assert (holding.grant_sequence, holding.fill_rate) == (7, 40.0)
    assert 0.0 < holding.seconds_left <= 995.0
    assert samples(joined)["forefill_sidecar_allowed_tokens_per_second policy=ns/llm"] == 40.0


def test_a_lease_that_ended_before_the_restart_leaves_the_safe_rate(net: Any, tmp_path: Path) -> None:
    Keepsake(tmp_path).save([Kept(assignment(), time.time() - 3000.0)])
    joined = JoinedSidecar([net.pod_listener("http://127.0.0.1:1")], OPERATOR, [], tmp_path)
    found = samples(joined)
    assert found["forefill_sidecar_lease_state policy=ns/llm state=expired"] == 1.0
    assert found["forefill_sidecar_allowed_tokens_per_second policy=ns/llm"] == 8.0


def test_what_was_kept_for_another_policy_is_left_alone(net: Any, tmp_path: Path) -> None:
    Keepsake(tmp_path).save([Kept(assignment("ns/old"), time.time())])
    joined = JoinedSidecar([net.pod_listener("http://127.0.0.1:1")], OPERATOR, [], tmp_path)
    assert joined.agent.members[0].tenure.assignment is None


def test_an_upstream_that_is_no_url_is_refused_with_a_sentence(net: Any) -> None:
    settings = msgspec.structs.replace(net.pod_listener("http://127.0.0.1:1"), upstream="http://a:b:c")
    with pytest.raises(ValueError, match="a:b:c"):
        JoinedSidecar([settings], OPERATOR, [])


def test_each_start_has_its_own_boot_id(net: Any) -> None:
    ids = {JoinedSidecar([net.pod_listener("http://127.0.0.1:1")], OPERATOR, []).agent.boot_id for _ in range(2)}
    assert len(ids) == 2


def settings_with_routes(net: Any, upstream: str) -> PolicyListener:
    """One route and users by a header, on a free port; the first answer is not awaited."""
    cost = CostSettings(default=1.0, routes=[CostRoute("/v1/chat", 5.0, "POST")])
    settings = net.policy_settings(cost=cost)
    forecast = msgspec.structs.replace(settings.forecast, user_header="X-User")
    settings = msgspec.structs.replace(settings, forecast=forecast)
    listener = net.pod_listener(upstream, mode="Observe", settings=settings)
    return msgspec.structs.replace(listener, port=0)


async def test_what_requests_look_like_is_learned_and_survives_a_restart(net: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    operator = Operator("wss://localhost:1/v1/stream", certifi.contents(), tmp_path / "token")
    stopping = asyncio.Event()
    async with net.upstream_of(net.answering(net.OK)) as upstream, httpx.AsyncClient() as client:
        settings = settings_with_routes(net, upstream.url)
        joined = JoinedSidecar([settings], operator, [], tmp_path)
        running = asyncio.get_running_loop().create_task(joined.run(stopping, grace_seconds=1.0))
        (listener,), (member,) = joined.sidecar.listeners, joined.agent.members
        await net.until(lambda: listener.is_listening)
        for path, user in (("/v1/chat", "ann"), ("/v1/chat", "ann"), ("/v1/chat", "bob"), ("/other", "ann")):
            await client.post(f"http://127.0.0.1:{listener.port}{path}", headers={"X-User": user})
        member.listener.expectations.declare(time.monotonic(), 60.0, 10.0, 500.0)
        member.close_window(member.report_due, time.time())
        stopping.set()
        await running
    profile = member.profile
    assert profile is not None
    assert profile.route_shares() == {"POST /v1/chat": 15 / 16, "other": 1 / 16}
    assert sorted(profile.user_shares().values()) == [5 / 16, 11 / 16]
    again = JoinedSidecar([settings], operator, [], tmp_path).agent.members[0]
    assert again.profile is not None
    assert again.profile.cost() == profile.cost() == Spread(mean=4.0, p50=5.0, p95=5.0)
    assert again.profile.interarrival_seconds() == profile.interarrival_seconds()
    assert again.profile.route_shares() == profile.route_shares()
    assert again.profile.user_shares() == profile.user_shares()
    assert [each.tokens for each in again.listener.expectations.coming(time.monotonic())] == [500.0]
    assert again.predictor.snapshot() == member.predictor.snapshot()
