import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_protocol import messages
from forefill_protocol.fields import Fallback
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.tenure import DENIED, OPEN, Allowance, Tenure

SETTINGS = PolicySettings(
    report_interval_seconds=10.0,
    lease_seconds=30.0,
    fallback="Safe",
    forecast=ForecastSettings(model="LastValue", quantile=0.95, horizon_windows=3),
    queue=QueueSettings(max_wait_seconds=5.0, max_requests=10),
    cost=CostSettings(default=1.0),
)
LISTENER = PolicyListener(
    policy="ai/llm",
    policy_uid="u",
    policy_generation=1,
    port=17001,
    upstream="http://llm.ai.svc:8000",
    mode="Enforce",
    safe_rate=2.0,
    burst=6.0,
    settings=SETTINGS,
)
GRANT = messages.Assignment(
    policy="ai/llm",
    policy_uid="u",
    policy_generation=1,
    grant_sequence=4,
    answers=1,
    fill_rate=20.0,
    burst=60.0,
    safe_rate=5.0,
    next_report_seconds=10.0,
    rate_seconds=12.0,
    lease_seconds=30.0,
    mode="Enforce",
)
GONE = messages.Refused(code=410, sentence="the policy was deleted", policy="ai/llm")


def tenure(fallback: Fallback = "Safe") -> Tenure:
    settings = msgspec.structs.replace(SETTINGS, fallback=fallback)
    return Tenure(msgspec.structs.replace(LISTENER, settings=settings), started_at=100.0)


@pytest.mark.parametrize(
    ("fallback", "now", "allowance"),
    [
        ("Safe", 100.0, Allowance("bucket", 0.0, 6.0)),
        ("Safe", 101.9, Allowance("bucket", 0.0, 6.0)),
        ("Safe", 102.0, Allowance("bucket", 2.0, 6.0)),
        ("Deny", 101.0, Allowance("bucket", 0.0, 6.0)),
        ("Deny", 103.0, DENIED),
        ("Open", 103.0, OPEN),
    ],
)
def test_before_the_first_answer_a_pod_waits_a_moment_and_then_falls_back(
    fallback: Fallback, now: float, allowance: Allowance
) -> None:
    assert tenure(fallback).allowance(now) == allowance


@pytest.mark.parametrize(
    ("fallback", "elapsed", "state", "allowance"),
    [
        ("Safe", 0.0, "active", Allowance("bucket", 20.0, 60.0)),
        ("Safe", 11.9, "active", Allowance("bucket", 20.0, 60.0)),
        ("Safe", 12.0, "active", Allowance("bucket", 5.0, 60.0)),
        ("Safe", 30.0, "expired", Allowance("bucket", 5.0, 60.0)),
        ("Safe", 9999.0, "expired", Allowance("bucket", 5.0, 60.0)),
        ("Deny", 29.9, "active", Allowance("bucket", 5.0, 60.0)),
        ("Deny", 30.0, "expired", DENIED),
        ("Open", 30.0, "expired", OPEN),
    ],
)
def test_a_grant_runs_at_its_rate_then_at_the_safe_rate_then_falls_back(
    fallback: Fallback, elapsed: float, state: str, allowance: Allowance
) -> None:
    held = tenure(fallback)
    held.grant(GRANT, counted_from=200.0)
    assert (held.state(200.0 + elapsed), held.allowance(200.0 + elapsed)) == (state, allowance)


def test_steps_change_the_rate_on_time_without_a_message() -> None:
    held = tenure()
    held.grant(msgspec.structs.replace(GRANT, steps=[messages.Step(3.0, 30.0), messages.Step(6.0, 10.0)]), 200.0)
    rates = [held.allowance(200.0 + elapsed).fill_rate for elapsed in (0.0, 2.9, 3.0, 5.9, 6.0, 11.9, 12.0)]
    assert rates == [20.0, 20.0, 30.0, 30.0, 10.0, 10.0, 5.0]


def test_two_410_an_interval_apart_let_the_pod_pass() -> None:
    held = tenure()
    held.grant(GRANT, 200.0)
    held.refuse(GONE, 205.0)
    held.refuse(GONE, 206.0)
    assert held.state(206.0) == "active"
    held.refuse(GONE, 215.0)
    assert (held.state(215.0), held.allowance(215.0)) == ("abandoned", OPEN)


def test_one_410_followed_by_another_refusal_changes_nothing() -> None:
    held = tenure()
    held.grant(GRANT, 200.0)
    held.refuse(GONE, 200.0)
    held.refuse(messages.Refused(code=503, sentence="not now", policy="ai/llm"), 205.0)
    held.refuse(GONE, 210.0)
    assert held.state(211.0) == "active"


def test_an_assignment_ends_the_abandonment() -> None:
    held = tenure()
    held.refuse(GONE, 200.0)
    held.refuse(GONE, 210.0)
    held.grant(GRANT, 220.0)
    assert held.allowance(221.0) == Allowance("bucket", 20.0, 60.0)


def test_a_grant_brings_its_mode_and_its_fallback() -> None:
    held = tenure("Deny")
    settings = msgspec.structs.replace(SETTINGS, fallback="Open")
    held.grant(msgspec.structs.replace(GRANT, mode="Observe", settings=settings), 200.0)
    assert (held.mode, held.fallback) == ("Observe", "Open")


def test_a_holding_tells_what_is_in_force_and_for_how_long() -> None:
    held = tenure()
    assert held.holding(100.0) == messages.Holding(policy="ai/llm", policy_uid="u", safe_rate=2.0)
    held.grant(GRANT, 200.0)
    expected = messages.Holding(
        policy="ai/llm",
        policy_uid="u",
        policy_generation=1,
        grant_sequence=4,
        fill_rate=20.0,
        safe_rate=5.0,
        seconds_left=8.0,
    )
    assert held.holding(204.0) == expected
    assert held.holding(213.0) == msgspec.structs.replace(expected, fill_rate=5.0, seconds_left=0.0)


@given(
    elapsed=st.floats(0.0, 100.0),
    steps=st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 40.0)), max_size=3).map(sorted),
    fallback=st.sampled_from(["Safe", "Deny", "Open"]),
)
def test_the_allowance_stays_as_it_is_until_the_next_change(
    elapsed: float, steps: list[tuple[float, float]], fallback: Fallback
) -> None:
    held = tenure(fallback)
    held.grant(msgspec.structs.replace(GRANT, steps=[messages.Step(*step) for step in steps]), 0.0)
    wait = held.next_change(elapsed)
    before_change = elapsed + 0.999 * wait if wait != float("inf") else 1e6
    assert held.allowance(elapsed) == held.allowance(before_change)
