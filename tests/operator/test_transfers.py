import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.clients import Clients, Make

from forefill_operator.figures import figures_of
from forefill_operator.pool import POOL_SHARE
from forefill_operator.recall import MOST_RECALLED, MOST_ROUNDS

CEILING = {"name": "batch", "podSelector": {"matchLabels": {"app": "busy"}}, "ceiling": 100}


def idle(made: Clients, spare: dict[str, float], told: dict[str, float] | None = None) -> Clients:
    """All have told of a window and of `told` spare tokens; `spare` are there. The pool has given what it had."""
    made.spare = dict(spare)
    for now in (11.5, 21.5):
        for name in made.clients:
            made.report(name, 10.0, now, spare_tokens=(told or spare).get(name, 0.0))
    made.tick(21.5)
    made.book.issuer.pool.draw(1e9, 21.5)
    made.lumps.clear()
    made.recalls.clear()
    return made


def test_what_waits_is_brought_from_the_fullest_buckets(make_policy: Make) -> None:
    made = idle(Clients(make_policy(), "full", "half", "low", "busy"), {"full": 60.0, "half": 30.0, "low": 5.0})
    made.queue("busy", 70.0, 21.5)
    assert made.asked == [("full", 60.0), ("half", 10.0)]
    assert sorted(made.lumps) == [("busy", 10.0), ("busy", 60.0)]
    assert made.spare == {"full": 0.0, "half": 20.0, "low": 5.0}
    assert figures_of(made.book, 21.5).handed_on == 70.0


def test_no_more_is_handed_on_than_was_given_up(make_policy: Make) -> None:
    made = idle(Clients(make_policy(), "full", "busy"), {"full": 20.0}, {"full": 60.0})
    made.queue("busy", 40.0, 21.5)
    assert (made.asked, made.lumps) == ([("full", 40.0)], [("busy", 20.0)])


def test_more_than_was_asked_for_is_not_believed(make_policy: Make) -> None:
    made = idle(Clients(make_policy(), "full", "busy"), {"full": 60.0})
    made.overstated = 1e9
    made.queue("busy", 40.0, 21.5)
    assert made.lumps == [("busy", 40.0)]


def test_nobody_is_believed_to_spare_more_than_its_bucket_holds(make_policy: Make) -> None:
    made = idle(Clients(make_policy(), "full", "busy"), {"full": 1e9})
    made.queue("busy", 390.0, 21.5)
    assert made.asked[0][1] <= made.grants["full"].burst


def test_twice_as_many_are_asked_each_time_and_not_for_ever(make_policy: Make) -> None:
    names = [f"idle-{number}" for number in range(200)]
    made = idle(Clients(make_policy(), *names, "busy"), {}, dict.fromkeys(names, 4.0))
    made.queue("busy", 60.0, 21.5)
    assert len(made.asked) <= sum(MOST_RECALLED << rounds for rounds in range(MOST_ROUNDS))
    assert len({name for name, _ in made.asked}) == len(made.asked)
    assert made.lumps == []


def test_a_served_queue_asks_nobody(make_policy: Make) -> None:
    made = idle(Clients(make_policy(), "full", "busy"), {"full": 60.0})
    made.report("busy", 10.0, 21.5, early=True, window_seconds=2.0, offered=90.0, admitted=90.0)
    assert made.asked == []


def test_nothing_is_moved_while_nothing_is_enforced(make_policy: Make) -> None:
    made = idle(Clients(make_policy(spec__mode="Observe"), "full", "busy"), {"full": 60.0})
    made.queue("busy", 40.0, 21.5)
    assert made.asked == []


@pytest.mark.parametrize(("classes", "asked"), [([], [("full", 40.0)]), ([CEILING], [])])
def test_a_class_with_a_ceiling_gets_no_tokens_of_others(
    make_policy: Make, classes: list[object], asked: list[tuple[str, float]]
) -> None:
    made = idle(Clients(make_policy(spec__clients__classes=classes), "full", "busy"), {"full": 60.0})
    made.queue("busy", 40.0, 21.5)
    assert made.asked == asked


def test_a_giver_that_is_gone_is_waited_for_by_nobody(make_policy: Make) -> None:
    made = idle(Clients(make_policy(), "full", "half", "busy"), {"full": 60.0, "half": 30.0})
    made.book.disconnected("full")
    made.queue("busy", 40.0, 21.5)
    assert (made.asked, made.lumps) == ([("half", 30.0)], [("busy", 30.0)])


AMOUNTS = st.floats(0.0, 500.0)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=12), st.lists(AMOUNTS, min_size=1, max_size=4))
def test_lumps_never_exceed_what_was_given_up_and_the_pool_has_earned(
    make_policy: Make, buckets: list[tuple[float, float]], queues: list[float]
) -> None:
    names = [f"idle-{number}" for number in range(len(buckets))]
    there = {name: spare for name, (spare, _) in zip(names, buckets, strict=True)}
    told = {name: tokens for name, (_, tokens) in zip(names, buckets, strict=True)}
    made = idle(Clients(make_policy(), *names, "busy", "other"), there, told)
    for number, tokens in enumerate(queues):
        made.queue(("busy", "other")[number % 2], tokens, 21.5 + number)
    earned = POOL_SHARE * made.book.policy.spec.fill_rate.max * len(queues)
    assert sum(tokens for _, tokens in made.lumps) <= made.given + earned + 1e-3
    assert all(spare >= 0.0 for spare in made.spare.values())
