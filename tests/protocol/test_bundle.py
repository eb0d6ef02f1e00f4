from forefill_protocol import bundle


def test_a_bundle_is_called_the_same_whatever_white_space_surrounds_it() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    assert bundle.fingerprint(pem) == bundle.fingerprint(f"\n{pem}\n") != bundle.fingerprint(pem.replace("A", "B"))
    assert len(bundle.fingerprint(pem)) == 32


def test_no_bundle_has_no_name() -> None:
    assert bundle.fingerprint(" \n") == ""
