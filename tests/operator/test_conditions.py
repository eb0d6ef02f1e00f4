import pytest

from forefill_operator import conditions
from forefill_operator.anomaly.finding import Anomaly, Kind, Verdict
from forefill_operator.appraisal import Appraisal
from forefill_operator.conditions import Condition
from forefill_operator.load.readings import Fault
from forefill_operator.policy import InvalidPolicy
from forefill_operator.shaping import Load


def judged(verdict: Verdict, *kinds: Kind) -> Appraisal:
    return Appraisal(1.0, 1.0, 1.0, 0.0, False, verdict, tuple(Anomaly(kind, "why", 0.0) for kind in kinds))


@pytest.mark.parametrize(
    ("made", "status", "reason", "message"),
    [
        (conditions.accepted(None, 3), "True", "Accepted", "The policy is served"),
        (
            conditions.accepted(InvalidPolicy("InvalidSpec", "spec.mode", "is odd"), 3),
            "False",
            "InvalidSpec",
            "spec.mode: is odd",
        ),
        (conditions.enforced("Enforce", [], 2, 3), "True", "Acknowledged", "Every client runs this generation"),
        (conditions.enforced("Enforce", [], 0, 3), "True", "NoClients", "No client is connected"),
        (
            conditions.enforced("Observe", ["a/b"], 2, 3),
            "False",
            "Observing",
            "Mode Observe delays and refuses nothing",
        ),
        (
            conditions.enforced("Enforce", ["a/z", "a/b"], 9, 3),
            "False",
            "Pending",
            "Generation 3 waits for 2 of 9 clients: a/b, a/z",
        ),
        (
            conditions.enforced("Enforce", ["a/5", "a/4", "a/3", "a/2", "a/1"], 9, 3),
            "False",
            "Pending",
            "Generation 3 waits for 5 of 9 clients: a/1, a/2, a/3 and 2 more",
        ),
        (conditions.calm({}, 3), "True", "NoAnomalies", "No client behaves strangely"),
        (
            conditions.calm({"a/b": judged("Ignore", "Shift"), "a/c": judged("Clamp", "Untrue", "Replay")}, 3),
            "False",
            "Clamped",
            "Kept to a safe share: a/c (Replay, Untrue), a/b (Shift)",
        ),
        (
            conditions.calm({f"a/{n}": judged("Quarantine", "Impossible") for n in range(5)}, 3),
            "False",
            "Quarantined",
            "Left with a trickle: a/0 (Impossible), a/1 (Impossible), a/2 (Impossible) and 2 more",
        ),
        (conditions.not_enforced(3), "False", "NotAccepted", "No valid policy to enforce"),
        (
            conditions.load_known(None, {}, 3),
            "False",
            "NoSource",
            "No source of load is configured; the fill rate follows demand alone",
        ),
        (
            conditions.load_known(None, {"load": Fault("UnknownSource", "source 'prod' is not set up")}, 3),
            "False",
            "UnknownSource",
            "No load is measured; the fill rate follows demand alone; load source 'prod' is not set up",
        ),
        (conditions.load_known(Load(0.1, 0.1, 0.1), {}, 3), "True", "Fresh", "The load counts in the fill rate"),
        (
            conditions.load_known(Load(1.0, 0.1, 0.1), {"cpu": Fault("AboveOne", "is 57 and counts as 1")}, 3),
            "True",
            "Fresh",
            "The load counts in the fill rate; cpu is 57 and counts as 1",
        ),
        (
            conditions.load_known(Load(0.1, 0.1, 0.1, "Held"), {"cpu": Fault("NoSeries", "gives no series")}, 3),
            "False",
            "Held",
            "What was measured last stands in for what is missing; cpu gives no series",
        ),
        (
            conditions.load_known(Load(0.1, 0.1, 0.1, "Decaying"), {}, 3),
            "False",
            "Decaying",
            "What was measured last is old and counts less and less",
        ),
        (
            conditions.load_known(Load(0.0, 0.0, 0.0, "Unknown"), {}, 3),
            "False",
            "Unknown",
            "The load can't be told; the fill rate follows demand alone",
        ),
    ],
)
def test_a_condition_says_what_is_true_and_why(made: Condition, status: str, reason: str, message: str) -> None:
    assert (made.status, made.reason, made.message, made.observed_generation) == (status, reason, message, 3)


def test_the_time_stays_while_the_status_stays() -> None:
    before = conditions.dated([conditions.enforced("Enforce", ["a/b"], 1, 1)], [], "yesterday")
    still = conditions.dated([conditions.enforced("Enforce", ["a/c"], 1, 2)], before, "today")
    flipped = conditions.dated([conditions.enforced("Enforce", [], 1, 2)], still, "today")
    assert [c[0].last_transition_time for c in (before, still, flipped)] == ["yesterday", "yesterday", "today"]
    assert (still[0].message, still[0].observed_generation) == (
        "Generation 2 waits for 1 of 1 clients: a/c",
        2,
    )
