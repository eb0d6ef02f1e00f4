import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import msgspec
import pytest

from forefill_protocol.messages import (
    Ack,
    Assignment,
    Expectation,
    Hello,
    PolicyReport,
    Recall,
    Refused,
    Report,
    Step,
    Up,
)
from forefill_protocol.policysettings import CostSettings, ForecastSettings
from forefill_sidecar.agent import REMEMBERED_REPORTS, Agent, Member
from forefill_sidecar.assembly import build_listener
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.shadow import Shadow
from forefill_sidecar.tenure import Tenure

INTERVAL = 10.0


@dataclass
class Pod:
    """An agent on a clock that the test moves, and all that it sent."""

    agent: Agent
    now: float
    sent: list[Up] = field(default_factory=list)

    @property
    def member(self) -> Member:
        return self.agent.members[0]

    def send(self, message: Up) -> bool:
        self.sent.append(message)
        return True

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        self.agent.step(self.now)

    def offer(self, tokens: float) -> None:
        self.member.listener.meter.arrived(tokens)

    def reports(self) -> list[Report]:
        return [message for message in self.sent if isinstance(message, Report)]

    def newest(self) -> PolicyReport:
        return self.reports()[-1].entries[0]


@pytest.fixture
def make_pod(net: Any) -> Callable[..., Pod]:
    def make(*policies: str) -> Pod:
        # Buckets are built on the machine's clock, so the virtual one starts from there; whole seconds add up exactly.
        start = float(ceil(time.monotonic()))
        members = []
        for policy in policies or ("ns/llm",):
            settings = net.pod_listener("http://127.0.0.1:1", fill_rate=5.0, burst=10.0, policy=policy)
            members.append(
                Member(
                    listener=build_listener(settings),
                    tenure=Tenure(settings, started_at=start),
                    predictor=Predictor("Ensemble", 3),
                    settings=settings.settings,
                    report_due=start + INTERVAL,
                )
            )
        agent = Agent("boot", "test", members, lambda message: made.send(message), lambda: made.now)
        made = Pod(agent, start)
        for member in members:
            member.listener.meter.started_at = start
            member.listener.gate.bucket.updated_at = start
            member.enforce(start)
        return made

    return make


@pytest.fixture
def pod(make_pod: Callable[..., Pod]) -> Pod:
    return make_pod()


def assignment(answers: int, **changes: Any) -> Assignment:
    facts: dict[str, Any] = {
        "policy": "ns/llm",
        "policy_uid": "uid",
        "policy_generation": 2,
        "grant_sequence": 7,
        "answers": answers,
        "fill_rate": 40.0,
        "burst": 60.0,
        "safe_rate": 8.0,
        "next_report_seconds": INTERVAL,
        "rate_seconds": 12.0,
        "lease_seconds": 30.0,
        "mode": "Enforce",
    }
    return Assignment(**(facts | changes))


def test_a_window_is_reported_when_it_ends(pod: Pod) -> None:
    pod.offer(30.0)
    pod.pass_seconds(9.0)
    assert pod.sent == []
    pod.pass_seconds(1.0)
    (entry,) = pod.reports()[0].entries
    assert (entry.policy, entry.window_seconds, entry.offered, entry.requests) == ("ns/llm", INTERVAL, 30.0, 1)
    assert len(entry.forecasts) == 3
    assert (entry.grant_sequence, entry.policy_generation) == (0, 0)


def test_only_the_members_whose_window_ended_report(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod("ns/llm", "ns/api")
    pod.agent.members[1].report_due += 5.0
    pod.pass_seconds(10.0)
    pod.pass_seconds(5.0)
    assert [[entry.policy for entry in report.entries] for report in pod.reports()] == [["ns/llm"], ["ns/api"]]


def test_the_sequence_rises_by_one_a_report_through_hellos_too(pod: Pod) -> None:
    pod.agent.hello()
    pod.pass_seconds(INTERVAL)
    pod.pass_seconds(INTERVAL)
    pod.agent.hello()
    pod.pass_seconds(INTERVAL)
    assert [report.sequence for report in pod.reports()] == [1, 2, 3]


def test_an_answer_counts_from_the_report_that_it_names(pod: Pod) -> None:
    began = pod.now
    pod.pass_seconds(INTERVAL)
    pod.pass_seconds(INTERVAL)
    pod.now += 3.0
    pod.agent.receive(assignment(answers=1))
    assert pod.member.tenure.counted_from == began + INTERVAL
    # 13 s after the report it answers: the granted rate has ended already, the safe rate runs until the lease ends.
    assert pod.member.listener.gate.bucket.fill_rate == 8.0
    # The window under way ends when it would have, 10 s after the last one.
    assert pod.member.report_due == began + 3 * INTERVAL


def test_an_answer_to_the_hello_counts_from_the_hello(pod: Pod) -> None:
    pod.now += 4.0
    pod.agent.hello()
    pod.now += 1.0
    pod.agent.receive(assignment(answers=0))
    assert pod.member.tenure.counted_from == pod.now - 1.0
    assert pod.member.listener.gate.bucket.fill_rate == 40.0


def test_pods_that_greet_together_report_at_different_moments(pod: Pod) -> None:
    began = pod.now
    pod.member.report_due = began + 6.5
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0))
    assert pod.member.report_due == began + 6.5


def test_a_grant_is_acknowledged_and_reported(pod: Pod) -> None:
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0))
    assert pod.sent == [Ack(policy="ns/llm", grant_sequence=7, policy_generation=2)]
    pod.pass_seconds(INTERVAL)
    assert (pod.newest().grant_sequence, pod.newest().policy_generation) == (7, 2)


def test_a_grant_ends_by_itself(pod: Pod) -> None:
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, settings=msgspec.structs.replace(pod.member.settings, fallback="Deny")))
    rates, bucket = [], pod.member.listener.gate.bucket
    for _ in range(2):
        pod.pass_seconds(11.0)
        rates.append(bucket.fill_rate)
    assert rates == [40.0, 8.0]
    assert pod.member.tenure.state(pod.now) == "active"
    pod.pass_seconds(8.0)
    assert pod.member.tenure.allowance(pod.now).kind == "denied"
    pod.member.listener.gate.ask(pod.now, 1.0, lambda verdict: None)
    assert pod.member.listener.gate.meter.totals.refused == 1.0


@pytest.mark.parametrize("answers", [1, 99])
def test_an_answer_to_a_report_that_this_stream_did_not_send_is_ignored(
    answers: int, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    pod.pass_seconds(INTERVAL)
    pod.agent.hello()
    pod.sent.clear()
    pod.agent.receive(assignment(answers=answers))
    assert (pod.sent, pod.member.tenure.assignment) == ([], None)
    assert f"answers report {answers}, which this stream did not send" in caplog.text


def test_an_answer_for_a_policy_that_the_pod_does_not_use_is_ignored(
    pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, policy="ns/other"))
    assert (pod.sent, pod.member.tenure.assignment) == ([], None)
    assert "ns/other" in caplog.text


def test_answers_are_matched_among_the_newest_reports_only(pod: Pod) -> None:
    pod.agent.hello()
    for _ in range(REMEMBERED_REPORTS):
        pod.pass_seconds(INTERVAL)
    assert sorted(pod.agent.sent_at) == list(range(1, REMEMBERED_REPORTS + 1))


def test_changed_settings_reach_the_gate_and_the_forecast(pod: Pod) -> None:
    changed = msgspec.structs.replace(
        pod.member.settings,
        report_interval_seconds=5.0,
        forecast=ForecastSettings(model="SimpleSmoothing", quantile=0.9, horizon_windows=2),
        cost=CostSettings(default=3.0),
    )
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, next_report_seconds=5.0, settings=changed))
    assert (pod.member.settings, pod.member.predictor.name) == (changed, "SimpleSmoothing")
    pod.pass_seconds(5.0)
    assert len(pod.newest().forecasts) == 2
    pod.pass_seconds(5.0)
    assert len(pod.reports()) == 2


def test_what_was_learned_stays_when_only_other_settings_change(pod: Pod) -> None:
    before = pod.member.predictor
    pod.agent.hello()
    pod.agent.receive(
        assignment(answers=0, settings=msgspec.structs.replace(pod.member.settings, cost=CostSettings(default=2.0)))
    )
    assert pod.member.predictor is before


def test_a_forecast_model_that_is_not_known_keeps_the_old_one(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    before = pod.member.predictor
    forecast = ForecastSettings(model="Oracle", quantile=0.95, horizon_windows=3)
    changed = msgspec.structs.replace(pod.member.settings, forecast=forecast)
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, settings=changed))
    pod.agent.receive(assignment(answers=0, settings=changed))
    assert (pod.member.predictor, pod.member.settings) == (before, changed)
    assert [message.split(":")[0] for message in caplog.messages] == ["ns/llm keeps forecasting with Ensemble"]


def refused(code: int = 410, policy: str = "ns/llm") -> Refused:
    return Refused(code=code, policy=policy, sentence="no")


def is_open(pod: Pod) -> bool:
    return pod.member.tenure.allowance(pod.now).kind == "open"


def test_a_policy_that_is_gone_twice_opens_the_gate(pod: Pod) -> None:
    pod.agent.receive(refused())
    assert not is_open(pod)
    pod.now += INTERVAL
    pod.agent.receive(refused())
    assert is_open(pod)
    # Far more than the bucket holds.
    pod.member.listener.gate.ask(pod.now, 1e6, lambda verdict: None)
    assert pod.member.listener.meter.totals.admitted == 1e6


def test_a_policy_that_is_gone_twice_at_once_does_not_open_the_gate(pod: Pod) -> None:
    pod.agent.receive(refused())
    pod.agent.receive(refused())
    assert not is_open(pod)


@pytest.mark.parametrize("code", [401, 403, 404, 429, 503])
def test_other_refusals_are_as_no_answer(code: int, pod: Pod) -> None:
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0))
    for _ in range(3):
        pod.agent.receive(refused(code))
        pod.now += 1.0
    assert pod.member.tenure.allowance(pod.now).fill_rate == 40.0


def test_a_refusal_reaches_only_the_policy_that_it_names(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod("ns/llm", "ns/api")
    for _ in range(2):
        pod.agent.receive(refused(policy="ns/api"))
        pod.now += INTERVAL
    assert [member.tenure.abandoned for member in pod.agent.members] == [False, True]


def test_a_grant_closes_the_gate_of_a_policy_that_came_back(pod: Pod) -> None:
    for _ in range(2):
        pod.agent.receive(refused())
        pod.now += INTERVAL
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0))
    assert pod.member.tenure.allowance(pod.now).kind == "bucket"


def test_a_window_that_was_slept_through_is_a_gap_and_no_load(pod: Pod) -> None:
    for _ in range(20):
        pod.offer(100.0)
        pod.pass_seconds(INTERVAL)
    before = pod.newest().forecasts[0].mean
    assert before == pytest.approx(10.0, rel=0.05)
    pod.offer(1.0)
    pod.pass_seconds(100 * INTERVAL)
    assert pod.newest().window_seconds == 100 * INTERVAL
    assert pod.newest().forecasts[0].mean == pytest.approx(before, rel=0.2)


def test_silence_is_a_load_of_zero(pod: Pod) -> None:
    for tokens in [100.0] * 20 + [0.0] * 20:
        pod.offer(tokens)
        pod.pass_seconds(INTERVAL)
    assert pod.newest().forecasts[0].mean < 2.0


def test_a_lease_from_before_the_start_goes_on(pod: Pod) -> None:
    pod.member.restore(assignment(answers=4), counted_from=pod.now - 5.0, now=pod.now)
    assert pod.member.listener.gate.bucket.fill_rate == 40.0
    hello = pod.agent.hello()
    assert isinstance(hello, Hello)
    (holding,) = hello.holdings
    assert (holding.grant_sequence, holding.fill_rate, holding.safe_rate) == (7, 40.0, 8.0)
    assert holding.seconds_left == pytest.approx(7.0)
    pod.pass_seconds(7.5)
    assert pod.member.listener.gate.bucket.fill_rate == 8.0


def test_the_last_word_closes_every_window_whatever_its_length(make_pod: Callable[..., Pod]) -> None:
    pod = make_pod("ns/llm", "ns/api")
    pod.now += 2.0
    pod.agent.report_now()
    (report,) = pod.reports()
    assert [(entry.policy, round(entry.window_seconds, 6)) for entry in report.entries] == [
        ("ns/llm", 2.0),
        ("ns/api", 2.0),
    ]


def test_the_first_answer_is_awaited_without_tokens_and_then_the_safe_rate_runs(pod: Pod) -> None:
    bucket = pod.member.listener.gate.bucket
    assert bucket.fill_rate == 0.0
    pod.pass_seconds(2.5)
    assert bucket.fill_rate == 5.0


def leased(pod: Pod, **changes: Any) -> None:
    """The pod holds a grant."""
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, **changes))
    pod.sent.clear()


def test_lump_tokens_go_into_the_bucket_once_a_grant(pod: Pod) -> None:
    bucket = pod.member.listener.gate.bucket
    pod.agent.hello()
    for _ in range(2):
        pod.agent.receive(assignment(answers=0, lump_tokens=100.0))
    assert bucket.tokens_at(pod.now) == 100.0
    pod.agent.receive(assignment(answers=0, grant_sequence=8, lump_tokens=5.0))
    assert bucket.tokens_at(pod.now) == 105.0
    assert (pod.member.counts.lumps, pod.member.counts.lump_tokens) == (2, 105.0)


def test_lump_tokens_last_while_the_grant_stays_as_it_is(pod: Pod) -> None:
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, lump_tokens=100.0))
    pod.pass_seconds(5.0)
    pod.pass_seconds(5.0)
    assert pod.member.listener.gate.bucket.tokens_at(pod.now) == 100.0


def test_lump_tokens_from_before_a_restart_do_not_come_again(pod: Pod) -> None:
    held = assignment(answers=0, lump_tokens=100.0)
    pod.member.restore(held, counted_from=pod.now, now=pod.now)
    pod.agent.hello()
    pod.agent.receive(held)
    assert pod.member.listener.gate.bucket.tokens_at(pod.now) == 0.0


def test_a_recall_is_followed_and_acknowledged_at_once(pod: Pod) -> None:
    leased(pod, steps=[Step(after_seconds=5.0, fill_rate=50.0), Step(after_seconds=8.0, fill_rate=3.0)])
    pod.agent.receive(Recall(policy="ns/llm", grant_sequence=8, fill_rate=6.0))
    assert pod.sent == [Ack(policy="ns/llm", grant_sequence=8, policy_generation=2)]
    rates = []
    for seconds in (0.0, 6.0, 3.0, 4.0):
        pod.pass_seconds(seconds)
        rates.append(pod.member.listener.gate.bucket.fill_rate)
    # The recalled rate through the step up, the step down, then the safe rate, which was 8.
    assert rates == [6.0, 6.0, 3.0, 6.0]
    assert (pod.newest().grant_sequence, pod.member.counts.recalls) == (8, 1)


@pytest.mark.parametrize(("asked", "given"), [(30.0, 30.0), (300.0, 80.0), (0.0, 0.0)])
def test_a_recall_takes_out_what_the_bucket_can_spare(asked: float, given: float, pod: Pod) -> None:
    leased(pod, lump_tokens=100.0)
    # Half a second of the rate, 20 tokens, is kept.
    pod.agent.receive(Recall(policy="ns/llm", grant_sequence=8, fill_rate=40.0, tokens=asked))
    assert pod.sent == [Ack(policy="ns/llm", grant_sequence=8, policy_generation=2, tokens=given)]
    bucket = pod.member.listener.gate.bucket
    assert (bucket.tokens_at(pod.now), bucket.fill_rate, pod.member.counts.given_tokens) == (100.0 - given, 40.0, given)


def test_a_pod_whose_requests_wait_gives_nothing_away(pod: Pod) -> None:
    leased(pod, lump_tokens=100.0)
    queue_up(pod, 150.0)
    pod.agent.receive(Recall(policy="ns/llm", grant_sequence=8, fill_rate=40.0, tokens=50.0))
    assert pod.sent == [Ack(policy="ns/llm", grant_sequence=8, policy_generation=2)]


def test_nothing_is_spare_while_nothing_is_enforced(pod: Pod) -> None:
    leased(pod, lump_tokens=100.0, mode="Observe")
    pod.pass_seconds(INTERVAL)
    assert pod.newest().spare_tokens == 0.0
    pod.agent.receive(Recall(policy="ns/llm", grant_sequence=8, fill_rate=40.0, tokens=50.0))
    assert pod.sent[-1] == Ack(policy="ns/llm", grant_sequence=8, policy_generation=2)


def test_reports_say_what_is_spare_and_surprising_ones_what_came_lately(pod: Pod) -> None:
    leased(pod, lump_tokens=100.0)
    look(pod, 3.0)
    queue_up(pod, 100.0)
    look(pod, 1.0)
    entry = pod.newest()
    assert (entry.early, entry.spare_tokens, entry.recent_seconds, entry.recent_offered) == (True, 0.0, 1.0, 100.0)
    pod.member.listener.meter.backlog = 0.0
    look(pod, 6.0)
    entry = pod.newest()
    assert (entry.early, entry.spare_tokens) == (False, 80.0)
    assert (entry.recent_seconds, entry.recent_offered) == (pytest.approx(1.0), 0.0)
    pod.pass_seconds(INTERVAL)
    assert (pod.newest().recent_seconds, pod.newest().recent_offered) == (0.0, 0.0)


def test_a_recall_never_raises_a_rate(pod: Pod) -> None:
    leased(pod)
    pod.agent.receive(Recall(policy="ns/llm", grant_sequence=8, fill_rate=1000.0))
    assert pod.member.listener.gate.bucket.fill_rate == 40.0


@pytest.mark.parametrize("policy", ["ns/llm", "ns/other"])
def test_a_recall_of_what_was_never_granted_is_not_acknowledged(
    policy: str, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    pod.agent.receive(Recall(policy=policy, grant_sequence=8, fill_rate=1.0))
    assert pod.sent == []
    assert f"grant 8 of {policy} is recalled, but there is none" in caplog.text


def test_a_step_known_beforehand_happens_at_its_moment(pod: Pod) -> None:
    leased(pod, steps=[Step(after_seconds=2.5, fill_rate=55.0), Step(after_seconds=7.0, fill_rate=20.0)])
    began, seen = pod.now, []
    for _ in range(3):
        pod.now = pod.agent.next_moment()
        pod.agent.step(pod.now)
        seen.append((pod.now - began, pod.member.listener.gate.bucket.fill_rate))
    assert seen == [
        (pytest.approx(2.5), 55.0),
        (pytest.approx(7.0), 20.0),
        (pytest.approx(10.0), 20.0),
    ]


def look(pod: Pod, seconds: float) -> None:
    """Let time pass as the loop does: a look every second."""
    for _ in range(round(seconds)):
        pod.pass_seconds(1.0)
        pod.agent.look(pod.now)


def queue_up(pod: Pod, tokens: float) -> None:
    """A request that waits, on the meter only."""
    pod.offer(tokens)
    pod.member.listener.meter.backlog += tokens


def test_a_queue_is_reported_within_a_second(pod: Pod) -> None:
    leased(pod)
    look(pod, 3.0)
    queue_up(pod, 100.0)
    assert pod.reports() == []
    look(pod, 1.0)
    entry = pod.newest()
    assert (entry.early, entry.window_seconds, entry.offered, entry.backlog) == (True, 4.0, 100.0, 100.0)
    assert pod.member.counts.early_reports == {"queue": 1}


def test_the_parts_of_a_window_add_up_and_are_learned_as_one(make_pod: Callable[..., Pod]) -> None:
    whole, parted = make_pod(), make_pod()
    for pod in (whole, parted):
        leased(pod)
        for _ in range(30):
            pod.offer(100.0)
            pod.pass_seconds(INTERVAL)
    for pod in (whole, parted):
        pod.sent.clear()
        pod.now += 4.0
        queue_up(pod, 150.0)
        if pod is parted:
            pod.agent.receive(assignment(answers=pod.agent.sequence, grant_sequence=9))
            pod.agent.look(pod.now)
            assert pod.newest().early
            # The answer to an early report leaves the end of the window where it is.
            pod.agent.receive(assignment(answers=pod.agent.sequence, grant_sequence=10))
        pod.offer(50.0)
        pod.pass_seconds(6.0)
    parts = [(r.entries[0].early, r.entries[0].window_seconds, r.entries[0].offered) for r in parted.reports()]
    assert parts == [(True, pytest.approx(4.0), 150.0), (False, pytest.approx(6.0), 50.0)]
    assert [r.entries[0].window_seconds for r in whole.reports()] == [pytest.approx(INTERVAL)]
    assert parted.member.predictor.forecasts() == whole.member.predictor.forecasts()


def test_nothing_is_reported_early_without_a_lease(pod: Pod) -> None:
    queue_up(pod, 100.0)
    look(pod, 8.0)
    assert pod.reports() == []


def test_nothing_is_reported_early_right_before_the_window_ends(pod: Pod) -> None:
    leased(pod)
    pod.now += 9.96
    queue_up(pod, 100.0)
    pod.agent.look(pod.now)
    assert pod.reports() == []


def test_declared_work_goes_up_with_every_report_and_at_once_when_it_is_near(pod: Pod) -> None:
    leased(pod)
    pod.member.listener.expectations.declare(pod.now, after_seconds=25.0, for_seconds=5.0, tokens=500.0)
    look(pod, 1.0)
    assert (pod.newest().early, pod.newest().expectations) == (True, [Expectation(24.0, 5.0, 500.0)])
    look(pod, 9.0)
    assert (pod.newest().early, pod.newest().expectations) == (False, [Expectation(15.0, 5.0, 500.0)])
    assert len(pod.reports()) == 2


def test_declared_work_that_is_far_away_waits_for_the_next_report(pod: Pod) -> None:
    leased(pod)
    pod.member.listener.expectations.declare(pod.now, after_seconds=3600.0, for_seconds=5.0, tokens=500.0)
    look(pod, 9.0)
    assert pod.reports() == []


def test_a_request_that_waits_wakes_the_loop_twenty_times_a_second_at_most(pod: Pod) -> None:
    leased(pod)
    pod.agent.look(pod.now)
    assert not pod.member.look_soon(pod.now + 0.04)
    assert pod.member.look_soon(pod.now + 0.05)


def test_declared_work_that_came_is_not_learned_as_a_surprise(make_pod: Callable[..., Pod]) -> None:
    told, untold = make_pod(), make_pod()
    for pod in (told, untold):
        leased(pod)
        for _ in range(30):
            pod.offer(100.0)
            pod.pass_seconds(INTERVAL)
    told.member.listener.expectations.declare(told.now, 2.0, 5.0, 900.0)
    for pod in (told, untold):
        pod.offer(1000.0)
        pod.pass_seconds(INTERVAL)
    calm, alarmed = (pod.newest().forecasts[0] for pod in (told, untold))
    assert calm.mean == pytest.approx(10.0, rel=0.05)
    assert alarmed.mean > 30.0
    # Declared work is a message of its own: the forecast beside it leaves it out.
    assert told.member.counts.declared_tokens == pytest.approx(900.0, rel=0.01)
    assert (told.newest().offered, told.newest().expectations) == (1000.0, [])


def test_a_declaration_that_did_not_come_true_counts_less_in_the_next_report(pod: Pod) -> None:
    leased(pod, rate_seconds=900.0, lease_seconds=1000.0)
    said = []
    for _ in range(4):
        pod.member.listener.expectations.declare(pod.now, 5.0, 3.0, 300.0, by="cron")
        pod.agent.look(pod.now + 1.0)
        # What is not believed at all is not worth a report.
        said.append(round(sum(each.tokens for each in pod.newest().expectations)))
        for _ in range(2):
            pod.offer(100.0)
            pod.pass_seconds(INTERVAL)
    assert said[0] == 300
    assert said == sorted(said, reverse=True)
    assert said[-1] < 60


def test_declared_work_in_the_running_window_is_no_surprise(pod: Pod) -> None:
    leased(pod)
    for _ in range(30):
        pod.offer(100.0)
        pod.pass_seconds(INTERVAL)
    pod.agent.receive(assignment(answers=pod.agent.sequence, grant_sequence=8, fill_rate=15.0))
    pod.member.listener.expectations.declare(pod.now, 0.0, 4.0, 400.0)
    look(pod, 1.0)
    assert pod.member.counts.early_reports == {"declared": 1}
    pod.offer(415.0)
    look(pod, 4.0)
    assert pod.member.counts.early_reports == {"declared": 1}
    pod.offer(430.0)
    look(pod, 1.0)
    assert pod.member.counts.early_reports == {"declared": 1, "demand": 1}


def test_a_stump_of_a_window_teaches_nothing(pod: Pod) -> None:
    leased(pod)
    for _ in range(30):
        pod.offer(100.0)
        pod.pass_seconds(INTERVAL)
    before = pod.newest().forecasts
    pod.now += 1.0
    pod.offer(500.0)
    pod.agent.report_now()
    assert pod.newest().forecasts == before


def test_forecasts_are_scored_when_their_window_is_over(pod: Pod) -> None:
    leased(pod)
    for tokens in (100.0, 100.0, 300.0):
        pod.offer(tokens)
        pod.pass_seconds(INTERVAL)
    counts = pod.member.counts
    assert (counts.scored_windows, counts.covered_windows) == (2, 1)
    assert counts.forecast_tokens == pytest.approx(200.0, rel=0.2)
    assert counts.error_tokens == pytest.approx(200.0, rel=0.2)


def test_the_time_of_day_is_the_policys(pod: Pod) -> None:
    # Monday 2026-11-23, 23:50 in New York.
    pod.agent.wall_clock = lambda: 1795495800.0 + pod.now - began
    began = pod.now
    forecast = msgspec.structs.replace(pod.member.settings.forecast, time_zone="America/New_York")
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, settings=msgspec.structs.replace(pod.member.settings, forecast=forecast)))
    seasons = []
    for seconds in (INTERVAL, INTERVAL, 3600.0):
        pod.pass_seconds(seconds)
        seasons.append(pod.member.predictor.season.second_of_week)
    monday = 23 * 3600.0 + 50 * 60.0
    assert seasons == [monday + 10.0, monday + 20.0, monday + 3620.0]


def test_a_clock_that_was_corrected_is_followed_and_nothing_is_learned_from_it(pod: Pod) -> None:
    jump = 0.0
    pod.agent.wall_clock = lambda: 1795496400.0 + pod.now + jump
    for _ in range(10):
        pod.offer(100.0)
        pod.pass_seconds(INTERVAL)
    before, season = pod.newest().forecasts[0].mean, pod.member.predictor.season.second_of_week
    jump = 7200.0
    pod.offer(100.0)
    pod.pass_seconds(INTERVAL)
    assert pod.member.predictor.season.second_of_week == pytest.approx(season + 7200.0 + INTERVAL)
    assert pod.newest().forecasts[0].mean == pytest.approx(before, rel=0.01)
    assert pod.newest().window_seconds == INTERVAL


def test_another_header_or_time_zone_costs_nothing_of_what_was_learned(pod: Pod) -> None:
    before = pod.member.predictor
    forecast = msgspec.structs.replace(pod.member.settings.forecast, time_zone="Asia/Tokyo", user_header="X-User")
    pod.agent.hello()
    pod.agent.receive(assignment(answers=0, settings=msgspec.structs.replace(pod.member.settings, forecast=forecast)))
    assert pod.member.predictor is before


async def test_the_loop_reports_a_queue_early_and_ends_when_it_is_cancelled(net: Any) -> None:
    settings = net.pod_listener("http://127.0.0.1:1", fill_rate=5.0, burst=10.0)
    listener, now = build_listener(settings), time.monotonic()
    member = Member(listener, Tenure(settings, now), Predictor("Ensemble", 3), settings.settings, now + 60.0)
    sent: asyncio.Queue[Up] = asyncio.Queue()
    agent = Agent("boot", "test", [member], lambda message: sent.put_nowait(message) is None, time.monotonic)
    agent.hello()
    agent.receive(assignment(answers=0, fill_rate=1.0, next_report_seconds=60.0, rate_seconds=60.0, lease_seconds=90.0))
    assert isinstance(await sent.get(), Ack)
    running = asyncio.get_running_loop().create_task(agent.run())
    waiting = asyncio.get_running_loop().create_task(listener.gate.acquire(50.0))
    report = await asyncio.wait_for(sent.get(), 10.0)
    assert isinstance(report, Report)
    assert [(entry.early, entry.backlog) for entry in report.entries] == [(True, 50.0)]
    for task in (running, waiting):
        task.cancel()
    assert [type(each) for each in await asyncio.gather(running, waiting, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]


def test_in_mode_observe_a_report_says_what_enforcement_would_have_done_in_its_window(pod: Pod) -> None:
    gate = pod.member.listener.gate
    gate.set_mode("Observe")
    gate.shadow = Shadow(gate.bucket)
    gate.shadow.retune(pod.now, 5.0, 10.0)
    for _ in range(100):
        gate.ask(pod.now, 1.0, lambda verdict: None)
    pod.pass_seconds(INTERVAL)
    first = pod.newest()
    assert (first.offered, first.admitted) == (100.0, 100.0)
    assert first.would_wait + first.would_refuse == pytest.approx(100.0)
    assert first.would_wait > 0.0
    assert first.would_refuse > 0.0
    pod.pass_seconds(INTERVAL)
    assert (pod.newest().would_wait, pod.newest().would_refuse) == (0.0, 0.0)
