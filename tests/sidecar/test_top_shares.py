import random
from typing import Any

import pytest

from forefill_sidecar.top_shares import REST, TopShares


def fed(places: int, names: list[str]) -> TopShares:
    top = TopShares(places)
    for name in names:
        top.add(name, 2.0)
    return top


def test_with_room_for_all_shares_are_exact() -> None:
    assert dict(fed(4, ["/a", "/b", "/a", "/a"]).shares()) == {"/a": 0.75, "/b": 0.25}


def test_nothing_has_no_shares() -> None:
    assert TopShares(4).shares() == {}


def test_common_names_are_found_among_many_rare_ones() -> None:
    generator = random.Random(3)
    names = [generator.choice(["/chat", "/embed"]) if step % 2 else f"/rare/{step}" for step in range(4000)]
    top = fed(16, names)
    shares = top.shares()
    assert len(shares) <= 17
    assert shares["/chat"] == pytest.approx(0.25, abs=0.03)
    assert shares["/embed"] == pytest.approx(0.25, abs=0.03)
    assert shares[REST] > 0.4
    assert sum(shares.values()) == pytest.approx(1.0)


def test_decoding_goes_on_from_what_was_encoded() -> None:
    top = fed(3, ["/a", "/b", "/c", "/d", "/a"])
    assert TopShares.decode(top.encode(), 3).shares() == top.shares()


@pytest.mark.parametrize(
    "plain",
    [None, {}, [["/a", 1.0]], [["/a", 1.0, 2.0]], [["/a", -1.0, 0.0]], [[1, 1.0, 0.0]], [["/a", float("nan"), 0.0]],
     [["/a", 1.0, 0.0]] * 2, [["/a", 1.0, 0.0], ["/b", 1.0, 0.0], ["/c", 1.0, 0.0], ["/d", 1.0, 0.0]]],
)  # fmt: skip
def test_what_is_not_shares_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match="the shares"):
        TopShares.decode(plain, 3)
