import datetime

from forefill_operator.kube import authorities, certificates
from forefill_operator.kube.authorities import OVERLAP, RETIREMENT, Authorities, advanced, bundle_of

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
LIFE = certificates.AUTHORITY_LIFE
FIRST = Authorities(certificates.make_authority("ca.forefill", NOW))


def began() -> Authorities:
    return advanced(FIRST, 0, "now", NOW)


def names(held: Authorities) -> int:
    return held.bundle.count("BEGIN CERTIFICATE")


def test_nothing_changes_before_two_thirds_of_a_life() -> None:
    assert advanced(FIRST, 0, "", NOW + LIFE * 0.66) is FIRST
    assert names(FIRST) == 1


def test_then_and_when_asked_the_next_authority_is_made_and_trusted_but_does_not_sign() -> None:
    for held in (advanced(FIRST, None, "", NOW + LIFE * 0.67), began()):
        assert held.active == FIRST.active
        assert names(held) == 2
        assert FIRST.bundle in held.bundle


def test_it_signs_when_every_sidecar_has_named_the_bundle_with_both() -> None:
    held = began()
    later = NOW + OVERLAP
    assert advanced(held, 0, "now", later - SECOND) is held
    assert advanced(held, 1, "now", later) is held
    assert advanced(held, None, "now", later) is held
    promoted = advanced(held, 0, "now", later)
    assert promoted == Authorities(held.following, None, FIRST.active.certificate, later)  # type: ignore[arg-type]
    assert promoted.bundle == held.bundle


def test_a_person_may_say_not_to_wait_for_silent_sidecars() -> None:
    held = began()
    assert advanced(held, 1, "force", NOW + OVERLAP - SECOND) is held
    assert advanced(held, 1, "force", NOW + OVERLAP).active == held.following


def test_when_the_old_one_has_nearly_ended_nobody_is_waited_for() -> None:
    held = began()
    assert advanced(held, 1, "", NOW + LIFE * 0.91) is held
    assert advanced(held, 1, "", NOW + LIFE * 0.92).active == held.following


def test_the_last_one_is_trusted_for_a_day_more() -> None:
    promoted = advanced(began(), 0, "", NOW + OVERLAP)
    end = NOW + OVERLAP + RETIREMENT
    assert advanced(promoted, 0, "", end - SECOND) is promoted
    retired = advanced(promoted, 0, "", end)
    assert retired == Authorities(promoted.active)
    assert names(retired) == 1


def test_one_that_is_not_old_enough_is_not_replaced_again() -> None:
    promoted = advanced(began(), 0, "", NOW + OVERLAP)
    assert advanced(promoted, 0, "", NOW + LIFE * 0.6) == Authorities(promoted.active)


def test_a_bundle_holds_each_certificate_once_in_one_order() -> None:
    one, other = (certificates.make_authority(name, NOW).certificate for name in ("a", "b"))
    assert bundle_of([one, other, b"", one]) == bundle_of([other + one]) != bundle_of([one])


def test_what_is_trusted_verifies_what_either_signs() -> None:
    held = began()
    bundle = held.bundle.encode()
    assert held.active.certificate in bundle
    assert held.following is not None
    assert held.following.certificate in bundle
    assert authorities.bundle_of([bundle]) == held.bundle
