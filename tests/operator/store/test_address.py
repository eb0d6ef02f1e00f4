import pytest

from forefill_operator.store.address import BadStoreUrl, StoreAddress, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://valkey", StoreAddress("", False, [("valkey", 6379)])),
        ("redis://valkey:7000/3", StoreAddress("", False, [("valkey", 7000)], database=3)),
        ("rediss://forefill@valkey", StoreAddress("", True, [("valkey", 6379)], user="forefill")),
        ("redis://[::1]:7000", StoreAddress("", False, [("::1", 7000)])),
        ("redis://[::1]", StoreAddress("", False, [("::1", 6379)])),
        (
            "redis+sentinel://one,two:26380/primary",
            StoreAddress("sentinel", False, [("one", 26379), ("two", 26380)], service="primary"),
        ),
        ("rediss+cluster://one,two", StoreAddress("cluster", True, [("one", 6379), ("two", 6379)])),
    ],
)
def test_a_url_names_a_store(url: str, address: StoreAddress) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://valkey", "begins with 'http'"),
        ("valkey", "begins with 'valkey'"),
        ("redis://user:secret@valkey", "holds a password"),
        ("redis://valkey:99999", "'valkey:99999', which is not HOST:PORT"),
        ("redis://", "'', which is not HOST:PORT"),
        ("redis://valkey/three", "'three'; a database is a number"),
        ("redis://one,two", "several hosts"),
        ("redis+sentinel://one", "names no Sentinel service"),
    ],
)
def test_a_url_that_names_none_is_refused_with_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(BadStoreUrl, match=sentence) as refused:
        parse(url)
    assert "secret" not in str(refused.value)


def test_what_is_shown_of_an_address_holds_no_user() -> None:
    assert str(parse("rediss+cluster://me@one,two")) == "rediss+cluster://one:6379,two:6379"
