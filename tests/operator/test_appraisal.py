import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.anomaly.finding import Anomaly
from forefill_operator.appraisal import Appraisal, Appraiser
from forefill_operator.client import Client
from forefill_operator.policy import TokenPolicy
from forefill_protocol.messages import Expectation, Forecast, PolicyReport

MakePolicy = Callable[..., TokenPolicy]
AMOUNTS = st.floats(0.0, 1e12)


def pod(number: int = 0, workload: str = "Deployment/web") -> Client:
    return Client("ai", "default", f"web-{number}", f"uid-{number}", workload=workload)


def forecast(mean: float) -> Forecast:
    return Forecast(mean=mean, p50=mean, p90=1.3 * mean, p95=1.4 * mean)


def entry(rate: float = 20.0, mean: float = 20.0, seconds: float = 10.0, **changes: Any) -> PolicyReport:
    facts: dict[str, Any] = {
        "policy": "ai/llm",
        "window_seconds": seconds,
        "offered": rate * seconds,
        "admitted": rate * seconds,
        "refused": 0.0,
        "backlog": 0.0,
        "requests": 20,
        "forecasts": [forecast(mean), forecast(mean), forecast(mean)],
    }
    return PolicyReport(**(facts | changes))


class Course:
    """A client that reports every 10 s: demand around 20 tokens/s, forecast with `scale`."""

    def __init__(self, appraiser: Appraiser, client: Client, seed: int = 1) -> None:
        self.appraiser, self.client = appraiser, client
        self.generator = random.Random(seed)
        self.now = 0.0

    def run(self, windows: int, scale: float = 1.0, **changes: Any) -> Appraisal:
        assert windows > 0
        for _ in range(windows):
            self.now += 10.0
            rate = max(self.generator.gauss(20.0, 4.0), 0.0)
            appraisal = self.appraiser.report(self.client, entry(rate, 20.0 * scale, **changes), self.now)
        return appraisal


def priority(appraiser: Appraiser, pod_uid: str) -> float:
    appraisal = appraiser.appraisal(pod_uid)
    assert appraisal is not None
    return appraiser.priority(appraisal)


@pytest.fixture
def appraiser(make_policy: MakePolicy) -> Appraiser:
    return Appraiser(make_policy().spec)


def test_a_stranger_is_believed_and_expected_to_ask_again_what_it_asked(appraiser: Appraiser) -> None:
    assert appraiser.appraisal("uid-0") is None
    appraisal = appraiser.report(pod(), entry(20.0), 0.0)
    assert appraisal == Appraisal(
        shadow=20.0, shadow_spread=0.0, trust=1.0, skill=0.0, is_newcomer=True, verdict="None", anomalies=()
    )
    assert appraiser.appraisal("uid-0") == appraisal
    assert appraiser.priority(appraisal) == 1.0


def test_the_shadow_follows_what_is_offered_and_not_what_is_said(appraiser: Appraiser) -> None:
    lied = Course(appraiser, pod(0)).run(100, scale=50.0)
    honest = Course(appraiser, pod(1)).run(100)
    assert (lied.shadow, lied.shadow_spread) == (honest.shadow, honest.shadow_spread)


def test_a_throttled_client_is_scored_by_its_demand(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    for _ in range(100):
        course.now += 10.0
        appraisal = appraiser.report(pod(), entry(20.0, admitted=50.0, refused=150.0), course.now)
    assert (appraisal.trust, appraisal.shadow) == (1.0, pytest.approx(20.0))


def test_a_liar_is_ignored_and_says_why(appraiser: Appraiser) -> None:
    appraisal = Course(appraiser, pod()).run(60, scale=3.0)
    assert (appraisal.trust, appraisal.verdict) == (0.0, "Ignore")
    assert [each.kind for each in appraisal.anomalies] == ["Untrue"]
    assert appraisal.anomalies[0].evidence.startswith("its forecasts cost ")


def declared(course: Course, windows: int, comes: float) -> Appraisal:
    """In every window it declares 20 tokens/s more for the next one; `comes` of that is offered."""
    for _ in range(windows):
        course.now += 10.0
        rate = max(course.generator.gauss(20.0, 4.0), 0.0) + comes
        said = entry(rate, 20.0, expectations=[Expectation(0.0, 10.0, 200.0)])
        appraisal = course.appraiser.report(course.client, said, course.now)
    return appraisal


def test_declared_work_that_does_not_come_costs_as_much_trust_as_a_forecast(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    course.run(40)
    assert declared(course, 12, comes=0.0).trust < 0.2


def test_declared_work_that_comes_costs_no_trust(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    course.run(40)
    course.run(1, expectations=[Expectation(0.0, 10.0, 200.0)])
    assert declared(course, 30, comes=20.0).trust > 0.8


def test_who_is_honest_again_recovers_slowly_and_by_itself(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    course.run(60, scale=3.0)
    assert course.run(20).trust < 0.5
    appraisal = course.run(300)
    assert (appraisal.trust, appraisal.verdict, appraisal.anomalies) == (1.0, "None", ())


def test_a_pardon_wipes_the_slate(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    course.run(60, scale=3.0)
    appraiser.pardon("uid-0", course.now)
    appraiser.pardon("nobody", course.now)
    appraisal = appraiser.appraisal("uid-0")
    assert appraisal is not None
    assert (appraisal.trust, appraisal.verdict, appraisal.anomalies) == (1.0, "None", ())


def test_a_restart_does_not_shed_a_bad_name(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod(0))
    course.run(60, scale=3.0)
    appraiser.forget("uid-0", course.now)
    assert appraiser.appraisal("uid-0") is None
    assert appraiser.report(pod(1), entry(), course.now).trust == 0.0


def test_a_rollout_that_overlaps_does_not_shed_it_either(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod(0))
    course.run(60, scale=3.0)
    assert appraiser.report(pod(1), entry(), course.now).trust == 0.0


def test_pods_without_a_workload_are_strangers_each(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod(0, workload=""))
    course.run(60, scale=3.0)
    appraiser.forget("uid-0", course.now)
    assert appraiser.report(pod(1, workload=""), entry(), course.now).trust == 1.0


def test_one_bad_pod_of_many_does_not_blacken_the_next(appraiser: Appraiser) -> None:
    for number in range(20):
        Course(appraiser, pod(number), number).run(60, scale=3.0 if number == 0 else 1.0)
    appraiser.forget("uid-0", 600.0)
    assert appraiser.report(pod(99), entry(), 610.0).trust > 0.8


def test_priorities_reward_skill_within_bounds_and_take_it_from_others(appraiser: Appraiser) -> None:
    generators = [random.Random(number) for number in range(4)]
    for window in range(400):
        for number, generator in enumerate(generators):
            rate = generator.choice([10.0, 30.0])
            generator_next = random.Random()
            generator_next.setstate(generator.getstate())
            known = generator_next.choice([10.0, 30.0]) if number == 0 else 20.0
            appraiser.report(pod(number, workload=""), entry(rate, known), 10.0 * window)
    priorities = [priority(appraiser, f"uid-{number}") for number in range(4)]
    assert priorities[0] == pytest.approx(1.1)
    assert all(0.9 <= each < 1.0 for each in priorities[1:])


def test_alike_clients_have_a_priority_of_one(appraiser: Appraiser) -> None:
    for number in range(3):
        Course(appraiser, pod(number), seed=5).run(100)
    assert [priority(appraiser, f"uid-{number}") for number in range(3)] == pytest.approx([1.0] * 3)


def test_those_who_left_count_no_more_in_the_mean(appraiser: Appraiser) -> None:
    for number in range(3):
        Course(appraiser, pod(number), seed=5).run(100, scale=1.0 if number else 5.0)
    assert priority(appraiser, "uid-1") > 1.0
    appraiser.forget("uid-0", 1000.0)
    assert priority(appraiser, "uid-1") == pytest.approx(1.0)
    assert appraiser.appraisal("uid-0") is None


def test_early_reports_are_pieces_of_one_window(appraiser: Appraiser) -> None:
    Course(appraiser, pod()).run(50)
    record = appraiser.record("uid-0")
    assert record is not None
    seen, shadow = record.shadow.seen, record.shadow.mean
    flood = appraiser.report(pod(), entry(200.0, 200.0, seconds=2.0, early=True), 502.0)
    assert (record.shadow.seen, flood.shadow) == (seen, shadow)
    appraiser.report(pod(), entry(20.0, 20.0, seconds=7.0, early=True), 509.0)
    assert record.shadow.seen == seen
    appraiser.report(pod(), entry(20.0, 20.0, seconds=1.0), 510.0)
    assert record.shadow.seen == seen + 1
    assert record.shadow.deviation == pytest.approx(56.0 - record.shadow.level)


def test_early_reports_without_end_are_scored_all_the_same(appraiser: Appraiser) -> None:
    for number in range(500):
        appraisal = appraiser.report(pod(), entry(20.0, 100.0, seconds=5.0, early=True), 5.0 * number)
    assert appraisal.trust == 0.0


def test_a_lie_in_an_early_report_counts_as_long_as_it_was_in_force(appraiser: Appraiser) -> None:
    now = 0.0
    for _ in range(80):
        now += 2.0
        appraiser.report(pod(), entry(20.0, 100.0, seconds=2.0, early=True), now)
        now += 8.0
        appraisal = appraiser.report(pod(), entry(20.0, 20.0, seconds=8.0), now)
    assert appraisal.trust < 0.2


def test_lost_reports_are_a_gap_and_no_silence(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    before = course.run(100)
    course.now += 200.0
    appraisal = course.run(1)
    record = appraiser.record("uid-0")
    assert record is not None
    assert record.missed == 20
    assert appraisal.trust == before.trust
    assert appraisal.shadow == pytest.approx(before.shadow, rel=0.2)


def test_a_window_that_was_slept_through_teaches_nothing(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    before = course.run(100)
    appraisal = appraiser.report(pod(), entry(0.001, seconds=3600.0), course.now + 3600.0)
    assert appraisal.shadow == pytest.approx(before.shadow, rel=0.2)


def test_impossible_values_are_clamped_and_then_quarantined(make_policy: MakePolicy) -> None:
    appraiser = Appraiser(make_policy(spec__anomaly__action="Quarantine").spec)
    course = Course(appraiser, pod())
    course.run(5)
    verdicts = [course.run(1, admitted=9000.0).verdict for _ in range(3)]
    assert verdicts == ["Clamp", "Clamp", "Quarantine"]
    assert course.run(29).verdict == "Quarantine"
    assert course.run(5).verdict == "None"


@pytest.mark.parametrize("action", ["Ignore", "Clamp"])
def test_a_policy_bounds_what_is_done(make_policy: MakePolicy, action: str) -> None:
    course = Course(Appraiser(make_policy(spec__anomaly__action=action).spec), pod())
    course.run(5)
    assert course.run(5, admitted=9000.0).verdict == action


def test_the_upstream_contradicts_who_hides_its_use(make_policy: MakePolicy) -> None:
    appraiser = Appraiser(make_policy(spec__anomaly__action="Quarantine").spec)
    course = Course(appraiser, pod())
    course.run(30)
    verdicts = []
    for _ in range(6):
        appraisal = course.run(1)
        appraiser.measured({"ai/web-0": 90.0, "ai/other": 5.0}, course.now)
        verdicts.append(appraisal.verdict)
    found = appraiser.appraisal("uid-0")
    assert found is not None
    assert (verdicts[:3], found.verdict) == (["None"] * 3, "Quarantine")
    assert [(each.kind, each.since) for each in found.anomalies] == [("Contradicted", 330.0)]
    assert "where the upstream counted 90" in found.anomalies[0].evidence


def test_measurements_of_who_is_away_or_honest_change_nothing(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    before = course.run(100)
    for late in range(10):
        appraiser.measured({"ai/web-0": 20.0}, course.now)
        appraiser.measured({"ai/web-0": 0.0}, course.now + 30.0 + late)
    assert appraiser.appraisal("uid-0") == before


def test_a_genuine_surge_of_an_honest_client_is_reported_and_not_punished(appraiser: Appraiser) -> None:
    now, kinds, verdicts = 0.0, set(), set()
    generator = random.Random(3)
    for window in range(2 * 8640):
        now += 10.0
        level = 20.0 if window < 1.5 * 8640 else 120.0
        rate = generator.gauss(level, 0.2 * level)
        appraisal = appraiser.report(pod(), entry(max(rate, 0.0), level), now)
        kinds |= {each.kind for each in appraisal.anomalies}
        verdicts.add(appraisal.verdict)
    assert "Jump" in kinds
    assert verdicts == {"None"}


def test_a_pod_unlike_its_workload_is_named(appraiser: Appraiser) -> None:
    for window in range(60):
        for number in range(8):
            rate = 200.0 if number == 7 and window > 30 else 20.0
            last = appraiser.report(pod(number), entry(rate, rate), 10.0 * window)
    assert [each.kind for each in last.anomalies] == ["OffCohort"]
    assert appraiser.appraisal("uid-0") == Appraisal(
        shadow=20.0, shadow_spread=0.0, trust=1.0, skill=0.0, is_newcomer=False, verdict="None", anomalies=()
    )


def test_anomalies_lapse_thirty_intervals_after_they_were_last_seen(appraiser: Appraiser) -> None:
    course = Course(appraiser, pod())
    course.run(5)
    first = course.run(1, admitted=9000.0).anomalies
    assert first == (Anomaly("Impossible", first[0].evidence, 60.0),)
    assert course.run(29).anomalies == first
    assert course.run(1).anomalies == ()


def test_a_changed_policy_applies_at_once(appraiser: Appraiser, make_policy: MakePolicy) -> None:
    course = Course(appraiser, pod())
    course.run(5)
    course.run(1, admitted=9000.0)
    appraiser.configure(make_policy(spec__anomaly__action="Ignore").spec)
    assert course.run(1).verdict == "Ignore"


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 1e9), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, 2**53), AMOUNTS, st.floats(0, 1e6)
        ),
        max_size=30,
    )
)
def test_whatever_is_reported_the_appraisal_is_sound(
    make_policy: MakePolicy, reports: list[tuple[float, float, float, float, float, int, float, float]]
) -> None:
    appraiser, now = Appraiser(make_policy().spec), 0.0
    for seconds, offered, admitted, refused, backlog, requests, mean, passed in reports:
        now += passed
        told = Forecast(mean=mean, p50=backlog, p90=admitted, p95=refused)
        report = PolicyReport("ai/llm", seconds, offered, admitted, refused, backlog, requests, [told])
        appraisal = appraiser.report(pod(), report, now)
        appraiser.measured({"ai/web-0": mean}, now)
        assert 0.0 <= appraisal.shadow < float("inf")
        assert 0.0 <= appraisal.shadow_spread < float("inf")
        assert 0.0 <= appraisal.trust <= 1.0
        assert appraisal.skill <= 1.0
        assert appraisal.verdict in ("None", "Ignore", "Clamp")
        assert 0.9 <= appraiser.priority(appraisal) <= 1.1
