from forefill_operator.anomaly.cohort import Cohort

ALIKE = {"a": 10.0, "b": 11.0, "c": 9.0, "d": 10.5, "e": 9.5}


def rounds(cohort: Cohort, levels: dict[str, float], count: int) -> dict[str, str]:
    """The last sentence on each pod."""
    said: dict[str, str] = {}
    for each in range(count):
        for uid, level in levels.items():
            apart = cohort.inspect(uid, level, threshold=8.0, interval=10.0, now=10.0 * each)
            if apart:
                said[uid] = apart.sentence
    return said


def test_pods_that_ask_alike_are_left_alone() -> None:
    assert rounds(Cohort(), ALIKE, 10) == {}


def test_a_pod_that_asks_for_much_more_is_named() -> None:
    said = rounds(Cohort(), ALIKE | {"f": 60.0}, 10)
    assert said == {
        "f": "it asks for 60 tokens/s, the 6 pods of its workload for 10.25 in the median: "
        "44.7 robust standard deviations above"
    }


def test_one_strange_window_is_not_enough() -> None:
    cohort = Cohort()
    rounds(cohort, ALIKE, 5)
    assert cohort.inspect("a", 100.0, threshold=8.0, interval=10.0, now=60.0) is None
    assert cohort.inspect("a", 10.0, threshold=8.0, interval=10.0, now=70.0) is None


def test_when_all_surge_nobody_is_apart() -> None:
    cohort = Cohort()
    rounds(cohort, ALIKE, 5)
    surged = {uid: 20.0 * level for uid, level in ALIKE.items()}
    for each in range(5, 20):
        for uid, level in surged.items():
            cohort.inspect(uid, level, threshold=8.0, interval=10.0, now=10.0 * each)
    assert rounds(cohort, surged, 10) == {}


def test_few_pods_are_no_cohort() -> None:
    assert rounds(Cohort(), {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1000.0}, 10) == {}


def test_idle_pods_beside_one_that_works_say_nothing() -> None:
    assert rounds(Cohort(), dict.fromkeys("abcde", 0.0) | {"f": 50.0}, 10) == {}


def test_who_left_counts_no_more() -> None:
    cohort = Cohort()
    rounds(cohort, ALIKE | {"f": 60.0}, 10)
    cohort.leave("f")
    assert len(cohort) == 5
