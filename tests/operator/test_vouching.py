from typing import Any

import msgspec
import pytest

from forefill_operator import tickets, vouching
from forefill_operator.client import Client
from forefill_operator.tickets import BadTicket
from forefill_protocol.messages import Assignment, Holding, Step

NOW = 1_700_000_000.0
KEY = tickets.make_key(NOW)
CLIENT = Client("ai", "web", "web-0", "pod-uid", {"tier": "web", "noise": "x"}, "Deployment/web")
ASSIGNMENT = Assignment(
    policy="ai/llm",
    policy_uid="policy-uid",
    policy_generation=1,
    grant_sequence=7,
    answers=3,
    fill_rate=40.0,
    burst=120.0,
    safe_rate=4.0,
    next_report_seconds=10.0,
    rate_seconds=12.0,
    lease_seconds=30.0,
    mode="Enforce",
)
HOLDING = Holding(policy="ai/llm", policy_uid="policy-uid", grant_sequence=7, fill_rate=40.0, safe_rate=4.0)


def sealed(assignment: Assignment = ASSIGNMENT) -> bytes:
    ticket = vouching.ticket_of(assignment, CLIENT, ("tier",), tickets.digest("token"), NOW + 600.0, NOW)
    return tickets.seal(ticket, KEY)


def test_a_ticket_names_the_pod_again_with_the_labels_that_policies_name() -> None:
    opened = tickets.unseal(sealed(), [KEY])
    assert vouching.client_of([opened]) == Client("ai", "web", "web-0", "pod-uid", {"tier": "web"}, "Deployment/web")


def test_the_labels_of_several_tickets_are_joined() -> None:
    opened = tickets.unseal(sealed(), [KEY])
    other = msgspec.structs.replace(opened, labels={"zone": "a"})
    assert vouching.client_of([opened, other]).labels == {"tier": "web", "zone": "a"}


def test_the_named_labels_are_those_of_the_policys_and_its_classes_selectors(make_policy: Any) -> None:
    policy = make_policy(
        spec__clients={
            "podSelector": {
                "matchLabels": {"tier": "web"},
                "matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}],
            },
            "classes": [{"name": "batch", "weight": 1, "floor": 0, "podSelector": {"matchLabels": {"kind": "batch"}}}],
        }
    )
    assert vouching.named_labels(policy) == ("kind", "tier", "zone")


def test_a_holding_is_believed_up_to_what_was_granted(make_policy: Any) -> None:
    lie = msgspec.structs.replace(HOLDING, fill_rate=400.0, safe_rate=200.0, ticket=sealed())
    honest = msgspec.structs.replace(HOLDING, fill_rate=10.0, ticket=sealed())
    policy = make_policy()
    assert vouching.proven(lie, "pod-uid", policy, [KEY], NOW) == msgspec.structs.replace(HOLDING, ticket=sealed())
    assert vouching.proven(honest, "pod-uid", policy, [KEY], NOW) == honest


def test_steps_that_are_to_come_were_granted_too(make_policy: Any) -> None:
    stepped = msgspec.structs.replace(ASSIGNMENT, steps=[Step(after_seconds=5.0, fill_rate=90.0)])
    claim = msgspec.structs.replace(HOLDING, fill_rate=90.0, ticket=sealed(stepped))
    assert vouching.proven(claim, "pod-uid", make_policy(), [KEY], NOW) == claim


def test_without_proof_there_is_no_grant(make_policy: Any) -> None:
    old = tickets.make_key(NOW - 3600.0)
    with pytest.raises(BadTicket, match="forged"):
        vouching.proven(HOLDING, "pod-uid", make_policy(), [old], NOW)
    claim = msgspec.structs.replace(HOLDING, ticket=b"anything")
    assert vouching.unproven(claim) == msgspec.structs.replace(HOLDING, grant_sequence=0)


def test_a_holding_of_an_operator_that_gave_out_no_tickets_is_taken_at_its_word_for_one_lease(make_policy: Any) -> None:
    policy, lease = make_policy(), make_policy().spec.report.lease_seconds
    young, old = tickets.make_key(NOW - 0.5 * lease), tickets.make_key(NOW - 2.0 * lease)
    assert vouching.proven(HOLDING, "pod-uid", policy, [young], NOW) == HOLDING
    for keys in ([old], [old, young]):
        with pytest.raises(BadTicket, match="forged"):
            vouching.proven(HOLDING, "pod-uid", policy, keys, NOW)
    forged = msgspec.structs.replace(HOLDING, ticket=b"anything")
    with pytest.raises(BadTicket, match="forged"):
        vouching.proven(forged, "pod-uid", policy, [young], NOW)
