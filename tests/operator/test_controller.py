from collections.abc import Callable
from typing import Any

import pytest

from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.pace import pace_of
from forefill_operator.policy import InvalidPolicy, TokenPolicy
from forefill_protocol.messages import Ack, Assignment, Forecast, Hello, Holding, PolicyReport, Recall, Refused, Report

Make = Callable[..., TokenPolicy]
KEY = "ai/llm"
ONE = Client("ai", "default", "chat-1", "uid-1", {"app": "chat"})
TWO = Client("ai", "default", "chat-2", "uid-2", {"app": "chat"})
ALIEN = Client("web", "default", "shop-1", "uid-9")


@pytest.fixture
def controller(make_policy: Make) -> Controller:
    made = Controller(first_start=True)
    made.put_policy(make_policy(), 0.0)
    return made


def hello(boot_id: str = "boot", **holding: Any) -> Hello:
    return Hello(1, boot_id, "test", [Holding(KEY, **holding)])


def report(sequence: int, rate: float, *, policy: str = KEY, **changes: Any) -> Report:
    facts: dict[str, Any] = {
        "policy": policy,
        "window_seconds": 10.0,
        "offered": 10 * rate,
        "admitted": 10 * rate,
        "refused": 0.0,
        "backlog": 0.0,
        "requests": 1,
        "forecasts": [Forecast(rate, rate, rate, rate)],
    }
    return Report(sequence, [PolicyReport(**(facts | changes))])


def assignment(deliveries: Deliveries) -> Assignment:
    (_, message), *_ = deliveries
    assert isinstance(message, Assignment)
    return message


def refusals(deliveries: Deliveries) -> list[tuple[str, int, str]]:
    return [(uid, m.code, m.sentence) for uid, m in deliveries if isinstance(m, Refused)]


def test_a_hello_is_answered_at_once_with_what_is_free(controller: Controller) -> None:
    granted = assignment(controller.hello(ONE, hello(safe_rate=10.0), 0.0))
    assert (granted.answers, granted.fill_rate, granted.safe_rate, granted.mode) == (0, 50.0, 50.0, "Enforce")
    assert granted.settings is not None
    assert granted.reason == "50 tokens/s: an equal share until the first report; clients share 50"


def test_a_report_that_asks_for_more_is_answered_with_more_at_once(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    granted = assignment(controller.report(ONE, report(1, 120.0), 10.0))
    assert (granted.answers, granted.fill_rate) == (1, 170.0)


def test_a_repeated_report_is_answered_with_the_same_grant_and_does_not_count(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    first = controller.report(ONE, report(1, 120.0), 10.0)
    assert controller.report(ONE, report(1, 300.0), 11.0) == first
    controller.tick(12.0)
    assert controller.figures(12.0)[KEY].predicted_total == 120.0


def test_an_older_report_is_answered_with_the_newest_grant(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    newest = controller.report(ONE, report(5, 120.0), 10.0)
    assert controller.report(ONE, report(4, 1.0), 11.0) == newest


def test_a_new_boot_counts_its_reports_from_one_again(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    controller.report(ONE, report(5, 120.0), 10.0)
    controller.hello(ONE, hello("another boot"), 11.0)
    assert assignment(controller.report(ONE, report(1, 90.0), 12.0)).answers == 1


def test_a_report_that_names_a_policy_twice_counts_once(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    twice = Report(1, [*report(1, 80.0).entries, *report(1, 300.0).entries])
    answers = controller.report(ONE, twice, 10.0)
    assert [uid for uid, _ in answers] == ["uid-1", "uid-1"]
    controller.tick(11.0)
    assert controller.figures(11.0)[KEY].predicted_total == 80.0


def test_settings_are_left_out_once_acknowledged(controller: Controller) -> None:
    granted = assignment(controller.hello(ONE, hello(), 0.0))
    controller.ack("uid-1", Ack(KEY, granted.grant_sequence, granted.policy_generation), 0.1)
    assert assignment(controller.report(ONE, report(1, 10.0), 10.0)).settings is None


def test_a_raise_waits_for_the_acknowledgement_of_what_it_is_taken_from(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    big = assignment(controller.report(ONE, report(1, 400.0), 1.0))
    controller.ack("uid-1", Ack(KEY, big.grant_sequence, 1), 1.1)
    controller.hello(TWO, hello(), 2.0)
    answered = controller.report(TWO, report(1, 400.0), 2.5)
    assert assignment(answered).fill_rate == 0.0
    ((uid, recalled),) = answered[1:]
    assert (uid, type(recalled)) == ("uid-1", Recall)
    assert isinstance(recalled, Recall)
    assert recalled.fill_rate == pytest.approx(200.5)
    pushed = controller.ack("uid-1", Ack(KEY, recalled.grant_sequence, 1), 3.1)
    assert [(uid, round(m.fill_rate, 6)) for uid, m in pushed if isinstance(m, Assignment)] == [("uid-2", 199.5)]


def test_a_goodbye_frees_what_the_pod_held(controller: Controller) -> None:
    controller.hello(ONE, hello(), 0.0)
    controller.report(ONE, report(1, 400.0), 1.0)
    assert controller.figures(1.0)[KEY].held == 400.0
    controller.goodbye("uid-1", 2.0)
    assert controller.figures(2.0)[KEY].held == 0.0


def test_a_pod_that_is_gone_keeps_what_it_holds_until_it_is_known_to_have_ended(controller: Controller) -> None:
    granted = assignment(controller.hello(ONE, hello(), 0.0))
    controller.disconnected("uid-1", 1.0)
    assert controller.silent() == [ONE]
    controller.tick(100.0)
    assert controller.figures(100.0)[KEY].held == granted.safe_rate
    controller.ended("uid-1", 101.0)
    assert (controller.silent(), controller.figures(101.0)[KEY].held) == ([], 0.0)


def test_under_deny_a_pod_that_is_gone_is_forgotten_after_its_lease(make_policy: Make) -> None:
    controller = Controller(first_start=True)
    controller.put_policy(make_policy(spec__fallback="Deny"), 0.0)
    granted = assignment(controller.hello(ONE, hello(), 0.0))
    controller.ack("uid-1", Ack(KEY, granted.grant_sequence, 1), 0.1)
    controller.disconnected("uid-1", 1.0)
    controller.tick(40.0)
    assert (controller.silent(), controller.figures(40.0)[KEY].held) == ([], 0.0)


def test_a_changed_policy_is_pushed_to_everybody_at_once(controller: Controller, make_policy: Make) -> None:
    controller.hello(ONE, hello(), 0.0)
    controller.report(ONE, report(1, 400.0), 1.0)
    changed = make_policy(metadata__generation=2, spec__fillRate={"base": 50, "min": 20, "max": 100})
    pushed = assignment(controller.put_policy(changed, 2.0))
    assert (pushed.fill_rate, pushed.policy_generation, pushed.settings is not None) == (100.0, 2, True)
    assert controller.put_policy(changed, 3.0) == []


def test_clients_that_a_policy_does_not_admit_are_refused(controller: Controller, make_policy: Make) -> None:
    expected = [("uid-9", 403, "TokenPolicy ai/llm does not admit pod web/shop-1")]
    assert refusals(controller.hello(ALIEN, hello(), 0.0)) == expected
    assert refusals(controller.report(ALIEN, report(1, 1.0), 0.0)) == expected
    assert controller.figures(0.0)[KEY].held == 0.0


def test_a_client_that_is_no_longer_admitted_keeps_only_what_it_holds(
    controller: Controller, make_policy: Make
) -> None:
    controller.hello(ONE, hello(), 0.0)
    controller.put_policy(make_policy(metadata__generation=2, spec__clients={"namespaces": ["web"]}), 1.0)
    assert refusals(controller.report(ONE, report(1, 1.0), 2.0)) == [
        ("uid-1", 403, "TokenPolicy ai/llm does not admit pod ai/chat-1")
    ]
    assert controller.figures(100.0)[KEY].clients == 0


def test_a_policy_that_does_not_exist_is_refused(controller: Controller) -> None:
    assert refusals(controller.report(ONE, report(1, 1.0, policy="ai/none"), 0.0)) == [
        ("uid-1", 404, "there is no TokenPolicy ai/none")
    ]
    assert controller.ack("uid-1", Ack("ai/none", 1, 1), 0.0) == []
    assert controller.status("ai/none", 0.0) is None


def test_plans_are_spaced_by_how_many_policies_are_planned_for_often(controller: Controller, make_policy: Make) -> None:
    for name in ("busy", "idle"):
        controller.put_policy(make_policy(metadata__name=name), 0.0)
    for key in (KEY, "ai/busy"):
        controller.hello(ONE, Hello(1, key, "test", [Holding(key)]), 0.1)
        controller.report(ONE, report(1, 10.0, policy=key), 0.2)
    controller.tick(1.1)
    assert {book.planner.policies for book in controller.books.values()} == {2}
    controller.report(ONE, report(2, 10.0), 1.2)
    assert controller.books[KEY].planner.pace == pace_of(1, 2)
    controller.tick(9.0)
    assert {book.planner.policies for book in controller.books.values()} == {1}


def test_a_deleted_policy_is_refused_and_can_come_back(controller: Controller, make_policy: Make) -> None:
    controller.hello(ONE, hello(), 0.0)
    gone = [("uid-1", 410, "TokenPolicy ai/llm was deleted")]
    assert refusals(controller.remove_policy(KEY, 1.0)) == gone
    assert refusals(controller.report(ONE, report(1, 1.0), 2.0)) == gone
    assert (controller.tick(20.0), controller.status(KEY, 20.0), controller.figures(20.0)) == ([], None, {})
    controller.put_policy(make_policy(metadata__uid="another"), 21.0)
    assert controller.figures(21.0)[KEY].held == 50.0
    assert assignment(controller.report(ONE, report(2, 1.0), 22.0)).policy_uid == "another"


def test_a_policy_deleted_while_no_operator_ran_is_gone_for_who_knew_it(controller: Controller) -> None:
    never = Hello(1, "boot", "test", [Holding(policy="ai/other")])
    once = Hello(1, "boot", "test", [Holding(policy="ai/other", policy_uid="other-uid")])
    gone = [("uid-1", 410, "TokenPolicy ai/other was deleted")]
    assert refusals(controller.hello(ONE, never, 0.0)) == [("uid-1", 404, "there is no TokenPolicy ai/other")]
    assert refusals(controller.hello(ONE, once, 1.0)) == gone
    assert refusals(controller.report(ONE, report(1, 1.0, policy="ai/other"), 2.0)) == gone


def test_an_invalid_generation_leaves_the_last_good_one_in_force(controller: Controller) -> None:
    controller.reject_policy(KEY, InvalidPolicy("InvalidSpec", "spec.mode", "is odd"), 2)
    assert assignment(controller.hello(ONE, hello(), 0.0)).policy_generation == 1
    status = controller.status(KEY, 0.0)
    assert status is not None
    assert [(c.type, c.status, c.observed_generation) for c in status.conditions] == [
        ("Accepted", "False", 2),
        ("Enforced", "False", 1),
        ("LoadKnown", "False", 2),
        ("Calm", "True", 2),
    ]


def test_a_policy_that_was_never_valid_is_refused_for_the_time_being(controller: Controller) -> None:
    controller.reject_policy("ai/new", InvalidPolicy("InvalidSpec", "spec.mode", "is odd"), 1)
    assert refusals(controller.report(ONE, report(1, 1.0, policy="ai/new"), 0.0)) == [
        ("uid-1", 503, "TokenPolicy ai/new is invalid: spec.mode: is odd")
    ]
    status = controller.status("ai/new", 0.0)
    assert status is not None
    assert [(c.type, c.status, c.reason) for c in status.conditions] == [
        ("Accepted", "False", "InvalidSpec"),
        ("Enforced", "False", "NotAccepted"),
    ]


def test_a_restarted_operator_confirms_what_clients_hold_and_gives_newcomers_nothing_that_may_be_held(
    make_policy: Make,
) -> None:
    controller = Controller()
    controller.put_policy(make_policy(), 100.0)
    held: dict[str, Any] = {"grant_sequence": 41, "policy_uid": "policy-uid", "policy_generation": 1}
    confirmed = controller.hello(ONE, hello(fill_rate=300.0, safe_rate=90.0, seconds_left=9.0, **held), 101.0)
    assert (assignment(confirmed).fill_rate, assignment(confirmed).safe_rate) == (300.0, 100.0)
    assert assignment(confirmed).grant_sequence > 41
    assert assignment(controller.hello(TWO, hello(safe_rate=5.0), 101.0)).fill_rate == 0.0
    assert controller.figures(101.0)[KEY].unknown == 100.0
    assert controller.figures(131.0)[KEY].unknown == 0.0


def test_a_policy_that_nobody_has_served_needs_no_learning(make_policy: Make) -> None:
    controller = Controller()
    controller.put_policy(make_policy(), 100.0, is_new=True)
    assert assignment(controller.hello(ONE, hello(), 101.0)).fill_rate == 50.0


def test_absurd_words_of_a_client_are_bounded_and_stop_nothing(controller: Controller) -> None:
    absurd = hello(grant_sequence=2**53, fill_rate=1e12, safe_rate=1e12, seconds_left=1e9, policy_generation=2**53)
    controller.hello(ONE, absurd, 0.0)
    controller.hello(TWO, hello(), 0.0)
    endless: dict[str, Any] = {"window_seconds": 0.0, "offered": 1e12, "backlog": 1e12, "grant_sequence": 2**53}
    controller.report(ONE, report(2**53, 1e12, **endless), 1.0)
    controller.ack("uid-1", Ack(KEY, 2**53, 2**53), 1.0)
    controller.report(TWO, report(1, 60.0), 1.0)
    for now in (2.0, 3.5, 5.0):
        for uid, message in controller.tick(now):
            assert isinstance(message, Assignment)
            controller.ack(uid, Ack(KEY, message.grant_sequence, 1), now)
    assert assignment(controller.report(TWO, report(2, 60.0), 11.0)).fill_rate >= 60.0
    assert controller.figures(11.0)[KEY].over_grant == 0.0
