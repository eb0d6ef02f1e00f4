from collections.abc import Callable
from math import inf

import pytest

from forefill_operator.classes import Group, Groups
from forefill_operator.client import Client
from forefill_operator.policy import TokenPolicy

Make = Callable[..., TokenPolicy]
CLASSES = [
    {"name": "batch", "podSelector": {"matchLabels": {"tier": "batch"}}, "weight": 0.5, "ceiling": 100},
    {"name": "chat", "podSelector": {"matchLabels": {"app": "chat"}}, "weight": 2, "floor": 40},
]


@pytest.mark.parametrize(
    ("namespace", "labels", "group"),
    [
        ("ai", {"tier": "batch"}, Group("batch", 0.5, 0.0, 100.0)),
        # the first that matches
        ("ai", {"tier": "batch", "app": "chat"}, Group("batch", 0.5, 0.0, 100.0)),
        ("web", {"app": "chat"}, Group("chat", 2.0, 40.0, inf)),
        ("web", {"app": "shop"}, Group("namespace/web")),
        ("ai", {}, Group("namespace/ai")),
    ],
)
def test_a_client_is_of_the_first_class_it_matches_or_of_its_namespace(
    make_policy: Make, namespace: str, labels: dict[str, str], group: Group
) -> None:
    groups = Groups(make_policy(spec__clients__classes=CLASSES))
    index = groups.index_of(Client(namespace, "default", "pod", "uid", labels))
    assert groups.all[index] == group


def test_a_group_keeps_its_index(make_policy: Make) -> None:
    groups = Groups(make_policy())
    clients = [Client(namespace, "default", "pod", "uid") for namespace in ("a", "b", "a", "c", "b")]
    assert [groups.index_of(client) for client in clients] == [0, 1, 0, 2, 1]
