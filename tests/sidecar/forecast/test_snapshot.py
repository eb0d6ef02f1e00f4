import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from forefill_sidecar.forecast import snapshot


@dataclass(slots=True)
class Leaf:
    level: float = 0.0
    seen: int = 0


@dataclass(slots=True)
class Tree:
    leaf: Leaf = field(default_factory=Leaf)
    leaves: list[Leaf] = field(default_factory=lambda: [Leaf(), Leaf()])
    weights: list[float] = field(default_factory=lambda: [0.0, 0.0])


FULL = {
    "leaf": {"level": 1.5, "seen": 3},
    "leaves": [{"level": 2.5, "seen": 4}, {"level": 3.5, "seen": 5}],
    "weights": [0.25, 0.75],
}


def test_what_was_put_is_taken() -> None:
    tree = Tree()
    snapshot.put(tree, json.loads(json.dumps(FULL)))
    assert snapshot.take(tree) == FULL


def test_a_whole_number_from_json_becomes_a_float() -> None:
    leaf = Leaf()
    snapshot.put(leaf, {"level": 2, "seen": 1})
    assert isinstance(leaf.level, float)


@pytest.mark.parametrize(
    ("plain", "complaint"),
    [
        (None, "Tree does not have the fields"),
        (FULL | {"extra": 1}, "Tree does not have the fields"),
        (FULL | {"weights": [0.5]}, "Tree.weights is not a list of 2"),
        (FULL | {"weights": [0.5, float("nan")]}, r"Tree.weights\[1\] is nan, not a finite value"),
        (FULL | {"weights": [0.5, "x"]}, r"Tree.weights\[1\] is 'x', not a finite value"),
        (FULL | {"leaf": {"level": True, "seen": 3}}, "Tree.leaf.level is True"),
        (FULL | {"leaf": {"level": 1.0, "seen": 3.5}}, "Tree.leaf.seen is 3.5"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(plain: Any, complaint: str) -> None:
    tree = Tree()
    with pytest.raises(ValueError, match=complaint):
        snapshot.put(tree, plain)
    assert tree == Tree()
