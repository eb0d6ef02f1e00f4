from collections.abc import Callable
from typing import Any

import pytest

from forefill_operator import selection
from forefill_operator.policy import TokenPolicy

LABELS = {"app": "chat", "tier": "gold"}


def expressions(*rows: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {
        "matchExpressions": [{"key": key, "operator": operator, "values": values} for key, operator, values in rows]
    }


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({}, True),
        ({"matchLabels": {"app": "chat"}}, True),
        ({"matchLabels": {"app": "chat", "tier": "iron"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        (expressions(("tier", "In", ["gold", "silver"])), True),
        (expressions(("tier", "In", ["iron"])), False),
        (expressions(("absent", "In", ["gold"])), False),
        (expressions(("tier", "NotIn", ["gold"])), False),
        (expressions(("absent", "NotIn", ["gold"])), True),
        (expressions(("tier", "Exists", [])), True),
        (expressions(("absent", "Exists", [])), False),
        (expressions(("absent", "DoesNotExist", [])), True),
        (expressions(("tier", "DoesNotExist", [])), False),
        (expressions(("tier", "Exists", []), ("app", "In", ["web"])), False),
        ({"matchLabels": {"app": "chat"}, **expressions(("tier", "In", ["iron"]))}, False),
    ],
)
def test_selectors_mean_what_they_mean_in_kubernetes(
    make_policy: Callable[..., TokenPolicy], selector: dict[str, Any], matches: bool
) -> None:
    policy = make_policy(spec__clients={"podSelector": selector})
    assert selection.admits(policy, "ai", LABELS) is matches


@pytest.mark.parametrize(
    ("namespaces", "namespace", "admitted"),
    [([], "ai", True), ([], "web", False), (["web"], "web", True), (["web"], "ai", False)],
)
def test_without_namespaces_only_the_policys_own_is_admitted(
    make_policy: Callable[..., TokenPolicy], namespaces: list[str], namespace: str, admitted: bool
) -> None:
    policy = make_policy(spec__clients={"namespaces": namespaces})
    assert selection.admits(policy, namespace, LABELS) is admitted
