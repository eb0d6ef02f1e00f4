from forefill_operator.anomaly.finding import Anomaly, Finding, Standing, bounded

WRONG = Finding("Impossible", "it is wrong", "Clamp")
UNTRUE = Finding("Untrue", "it is not true", "Ignore")


def test_nothing_stands_at_first() -> None:
    standing = Standing()
    assert (bool(standing), standing.verdict, standing.anomalies) == (False, "None", ())


def test_the_newest_comes_first_and_the_gravest_counts() -> None:
    standing = Standing()
    standing.add(WRONG, 10.0, 300.0)
    standing.add(UNTRUE, 20.0, 300.0)
    assert standing.anomalies == (Anomaly("Untrue", "it is not true", 20.0), Anomaly("Impossible", "it is wrong", 10.0))
    assert standing.verdict == "Clamp"


def test_a_finding_that_comes_again_keeps_its_beginning() -> None:
    standing = Standing()
    standing.add(UNTRUE, 10.0, 300.0)
    standing.add(Finding("Untrue", "still not", "Ignore"), 20.0, 310.0)
    standing.lapse(305.0)
    assert standing.anomalies == (Anomaly("Untrue", "still not", 10.0),)


def test_the_impossible_quarantines_when_it_comes_a_third_time() -> None:
    standing = Standing()
    verdicts = []
    for now in (0.0, 10.0, 20.0):
        standing.add(WRONG, now, now + 300.0)
        verdicts.append(standing.verdict)
    assert verdicts == ["Clamp", "Clamp", "Quarantine"]


def test_a_poor_forecast_never_quarantines() -> None:
    standing = Standing()
    for now in range(100):
        standing.add(UNTRUE, float(now), 1000.0)
    assert standing.verdict == "Ignore"


def test_findings_lapse_by_themselves() -> None:
    standing = Standing()
    standing.add(WRONG, 0.0, 300.0)
    standing.lapse(299.0)
    assert standing
    standing.lapse(300.0)
    assert (standing.verdict, standing.anomalies) == ("None", ())


def test_a_policy_bounds_the_verdict() -> None:
    assert [bounded("Quarantine", action) for action in ("Ignore", "Clamp", "Quarantine")] == [
        "Ignore",
        "Clamp",
        "Quarantine",
    ]
    assert bounded("None", "Quarantine") == "None"
