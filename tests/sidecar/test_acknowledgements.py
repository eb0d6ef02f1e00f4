from typing import Any

import pytest

from forefill_protocol.messages import Assignment, Step
from forefill_sidecar.acknowledgements import Outstanding


def grant(fill_rate: float = 50.0, **more: Any) -> Assignment:
    values: dict[str, Any] = {
        "policy": "ns/llm", "policy_uid": "uid", "policy_generation": 1, "grant_sequence": 1, "answers": 1,
        "fill_rate": fill_rate, "burst": 100.0, "safe_rate": 10.0, "next_report_seconds": 10.0, "rate_seconds": 12.0,
        "lease_seconds": 30.0, "mode": "Enforce",
    }  # fmt: skip
    return Assignment(**(values | more))


@pytest.fixture
def outstanding() -> Outstanding:
    found = Outstanding()
    assert found.take(grant())
    return found


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        (grant(50.0), False),
        (grant(80.0), False),
        (grant(49.5), False),
        (grant(48.0), True),
        (grant(80.0, safe_rate=9.0), True),
        (grant(80.0, burst=90.0), True),
        (grant(80.0, policy_generation=2), True),
        (grant(80.0, steps=[Step(5.0, 10.0)]), True),
        (grant(80.0, ca_bundle="PEM"), True),
    ],
    ids=["same", "raise", "crumb", "less rate", "less safe rate", "less burst", "generation", "steps", "authority"],
)
def test_a_grant_is_acknowledged_at_once_when_it_frees_something_or_is_news(
    outstanding: Outstanding, assignment: Assignment, told: bool
) -> None:
    assert outstanding.take(assignment) is told


def test_crumbs_add_up_and_a_raise_that_was_not_told_counts(outstanding: Outstanding) -> None:
    assert [outstanding.take(grant(rate)) for rate in (49.6, 49.2, 48.8)] == [False, False, True]
    assert [outstanding.take(grant(rate)) for rate in (80.0, 60.0)] == [False, True]


def test_a_report_acknowledges_too(outstanding: Outstanding) -> None:
    outstanding.take(grant(80.0))
    outstanding.acknowledged(grant(80.0))
    assert outstanding.take(grant(80.0)) is False


def test_the_first_grant_of_a_new_stream_is_acknowledged(outstanding: Outstanding) -> None:
    outstanding.stream_opened()
    assert outstanding.take(grant(80.0)) is True
