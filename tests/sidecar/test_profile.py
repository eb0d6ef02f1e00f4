import json
import random
from typing import Any

import pytest

from forefill_protocol.messages import Spread
from forefill_protocol.policysettings import CostRoute
from forefill_sidecar.arrivals import MOST_SEEN
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.profile import Profile

ROUTES = (CostRoute("/v1/chat", 1.0, "POST"), CostRoute("/v1/embed", 1.0))


def busy(profile: Profile, requests: int, seed: int = 1) -> None:
    """Four requests a second, taken in every ten seconds."""
    generator, now, due = random.Random(seed), 50.0, 60.0
    for _ in range(requests):
        now += generator.expovariate(4.0)
        if now > due:
            profile.take(ROUTES)
            due += 10.0
        profile.arrivals.add(now, generator.choice([0, 0, 1]), 1000.0, generator.uniform(1, 9))
    profile.take(ROUTES)


def test_knows_nothing_before_the_first_request() -> None:
    profile = Profile(Season())
    assert profile.interarrival_seconds() is None
    assert profile.cost() is None
    assert profile.route_shares() == {}
    assert profile.usual_rate(0) == 0.0


def test_learns_frequency_sizes_costs_and_routes() -> None:
    profile = Profile(Season())
    busy(profile, 5000)
    between, cost = profile.interarrival_seconds(), profile.cost()
    assert between is not None
    assert cost is not None
    assert between.mean == pytest.approx(0.25, rel=0.05)
    assert between.p95 == pytest.approx(0.749, rel=0.05)
    assert cost.p50 == pytest.approx(5.0, rel=0.05)
    assert profile.request_bytes() == Spread(mean=1000.0, p50=1000.0, p95=1000.0)
    assert profile.route_shares() == {
        "POST /v1/chat": pytest.approx(2 / 3, abs=0.03),
        "/v1/embed": pytest.approx(1 / 3, abs=0.03),
    }


def test_a_gap_is_not_a_long_time_between_requests() -> None:
    profile = Profile(Season())
    profile.arrivals.add(1.0, 0, 0.0, 1.0)
    profile.take(ROUTES)
    profile.gap()
    profile.arrivals.add(4000.0, 0, 0.0, 1.0)
    profile.take(ROUTES)
    assert profile.interarrival_seconds() is None


def test_knows_what_an_hour_usually_brings() -> None:
    season = Season(900.0)
    profile = Profile(season)
    for step in range(96):
        profile.window(100.0 if step == 40 else 10.0, requests=18, seconds=900.0)
        season.advance(1)
    assert [profile.usual_rate(ahead) for ahead in (39, 40, 41)] == [10.0, 100.0, 10.0]
    assert profile.requests_per_second() == pytest.approx(0.02)


def test_a_busy_window_costs_no_more_than_its_first_requests() -> None:
    profile = Profile(Season())
    for second in range(10 * MOST_SEEN):
        profile.arrivals.add(float(second), 0, 10.0, 1.0)
    assert len(profile.arrivals.times) == MOST_SEEN
    profile.take(ROUTES)
    profile.arrivals.add(1e6, 0, 10.0, 1.0)
    profile.take(ROUTES)
    # What came between the last one kept and this one is not known.
    assert profile.interarrival_seconds() == Spread(mean=1.0, p50=1.0, p95=1.0)


def test_users_are_shares_under_names_that_nobody_can_read() -> None:
    profile, other = Profile(Season()), Profile(Season())
    for each in (profile, other):
        for user in (b"ann", b"ann", b"ann", b"bob"):
            each.arrivals.add_user(user, 2.0)
    assert list(profile.user_shares().values()) == [0.75, 0.25]
    assert "ann" not in json.dumps(profile.encode())
    assert set(profile.user_shares()).isdisjoint(other.user_shares())
    twin = Profile.decode(profile.encode(), Season())
    twin.arrivals.add_user(b"ann", 2.0)
    assert list(twin.user_shares().values()) == [0.8, 0.2]


def test_a_request_of_no_known_route_counts_as_another() -> None:
    profile = Profile(Season())
    for place in (-1, 0, 9, -1):
        profile.arrivals.add(1.0, place, 0.0, 1.0)
    profile.take(ROUTES)
    assert profile.route_shares() == {"other": 0.75, "POST /v1/chat": 0.25}


def test_decoding_goes_on_from_what_was_encoded_at_the_present_hour() -> None:
    profile, season = Profile(Season(10.0)), Season(10.0, 7200.0)
    busy(profile, 500)
    profile.window(30.0, requests=40, seconds=10.0)
    restored = Profile.decode(json.loads(json.dumps(profile.encode())), season)
    assert restored.cost() == profile.cost()
    assert restored.route_shares() == profile.route_shares()
    assert season == Season(10.0, 7200.0)
    busy(restored, 10, seed=2)
    assert restored.interarrival_seconds() != profile.interarrival_seconds()


def test_stays_small_whatever_clients_send() -> None:
    profile = Profile(Season())
    routes = [CostRoute(f"/route/{step}" * 20, 1.0) for step in range(500)]
    for step in range(5000):
        profile.arrivals.add(float(step), step % 500, 1e9, 1e6)
        profile.arrivals.add_user(b"user %d" % step, 1.0)
        profile.take(routes)
    assert len(json.dumps(profile.encode())) < 40_000


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 0}, "not of version"),
        ({"interval_seconds": 5.0}, "of windows of 5.0 s"),
        ({"learned": {}}, "does not have the fields"),
        ({"routes": "all"}, "the shares are not a list"),
        ({"users": "all"}, "the shares are not a list"),
        ({"salt": "pepper"}, "the salt is no hexadecimal"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Profile.decode(Profile(Season()).encode() | change, Season())
