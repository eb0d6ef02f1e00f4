import json
import random
from typing import Any

import pytest

from forefill_protocol.messages import Spread
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.profile import Profile


def busy(profile: Profile, requests: int, seed: int = 1) -> None:
    generator, now = random.Random(seed), 50.0
    for _ in range(requests):
        now += generator.expovariate(4.0)
        profile.request(now, generator.choice(["/v1/chat", "/v1/chat", "/v1/embed"]), 1000.0, generator.uniform(1, 9))


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
    assert profile.route_shares()["/v1/chat"] == pytest.approx(2 / 3, abs=0.03)


def test_a_gap_is_not_a_long_time_between_requests() -> None:
    profile = Profile(Season())
    profile.request(1.0, "/", 0.0, 1.0)
    profile.gap()
    profile.request(4000.0, "/", 0.0, 1.0)
    assert profile.interarrival_seconds() is None


def test_knows_what_an_hour_usually_brings() -> None:
    season = Season(900.0)
    profile = Profile(season)
    for step in range(96):
        profile.window(100.0 if step == 40 else 10.0)
        season.advance(1)
    assert [profile.usual_rate(ahead) for ahead in (39, 40, 41)] == [10.0, 100.0, 10.0]


def test_decoding_goes_on_from_what_was_encoded_at_the_present_hour() -> None:
    profile, season = Profile(Season(10.0)), Season(10.0, 7200.0)
    busy(profile, 500)
    profile.window(30.0)
    restored = Profile.decode(json.loads(json.dumps(profile.encode())), season)
    assert restored.cost() == profile.cost()
    assert restored.route_shares() == profile.route_shares()
    assert season == Season(10.0, 7200.0)
    busy(restored, 10, seed=2)
    assert restored.interarrival_seconds() != profile.interarrival_seconds()


def test_stays_small_whatever_clients_send() -> None:
    profile = Profile(Season())
    for step in range(5000):
        profile.request(float(step), f"/route/{step}" * 100, 1e9, 1e6)
    assert len(json.dumps(profile.encode())) < 40_000


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 0}, "not of version"),
        ({"interval_seconds": 5.0}, "of windows of 5.0 s"),
        ({"learned": {}}, "does not have the fields"),
        ({"routes": "all"}, "the shares are not a list"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Profile.decode(Profile(Season()).encode() | change, Season())
