from pathlib import Path

import pytest

from forefill_operator.client import Client
from forefill_operator.identity import BadTokenFile, Rejected, StaticTokens, read_tokens


def pod(name: str, uid: str, namespace: str = "default", workload: str = "") -> Client:
    return Client(namespace, "static", name, uid, workload=workload)


def test_a_line_is_a_token_and_its_pod() -> None:
    lines = ["# a comment", "", "one, web-0 ,uid-0", 'two,"web-1",uid-1,shop', "three,web-2,uid-2,shop,Deployment/web"]
    assert read_tokens(lines, "tokens.csv") == [
        ("one", pod("web-0", "uid-0")),
        ("two", pod("web-1", "uid-1", "shop")),
        ("three", pod("web-2", "uid-2", "shop", "Deployment/web")),
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("one", "1 fields"),
        ("one,web-0", "2 fields"),
        ("one,web-0,uid-0,shop,Deployment/web,more", "6 fields"),
        (",web-0,uid-0", "an empty field"),
        ("one,,uid-0", "an empty field"),
        ("one,web-0,", "an empty field"),
        ("one,web-0,uid-0,", "an empty field"),
    ],
)
def test_a_line_that_is_no_token_is_named(line: str, found: str) -> None:
    with pytest.raises(BadTokenFile) as caught:
        read_tokens(["good,web-9,uid-9", line], "tokens.csv")
    assert str(caught.value) == f"tokens.csv line 2: expected token,name,uid[,namespace[,workload]], found {found}"


def test_a_token_is_never_in_the_sentence() -> None:
    with pytest.raises(BadTokenFile) as caught:
        read_tokens(["secret,web-0"], "tokens.csv")
    assert "secret" not in str(caught.value)


async def rejected(tokens: StaticTokens, token: str) -> tuple[int, str]:
    with pytest.raises(Rejected) as caught:
        await tokens.authenticate(token)
    return caught.value.code, caught.value.sentence


async def test_a_token_names_its_pod_and_another_nobody(tmp_path: Path) -> None:
    tokens = StaticTokens(tmp_path / "tokens.csv")
    tokens.path.write_text("one,web-0,uid-0\ntwo,web-1,uid-1,shop\n")
    assert await tokens.authenticate("two") == pod("web-1", "uid-1", "shop")
    for unknown in ("three", "", "on", "one,web-0,uid-0"):
        assert await rejected(tokens, unknown) == (401, "the token is not in the operator's token file")


async def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    tokens = StaticTokens(tmp_path / "tokens.csv")
    tokens.path.write_text("one,web-0,uid-0\n")
    await tokens.authenticate("one")
    tokens.path.write_text("two,web-0,uid-0\n")
    assert await tokens.authenticate("two") == pod("web-0", "uid-0")
    assert (await rejected(tokens, "one"))[0] == 401


@pytest.mark.parametrize("content", [None, b"one\n", b"\xff,web-0,uid-0\n"], ids=["gone", "bad line", "not UTF-8"])
async def test_nobody_is_judged_while_the_file_cannot_be_read(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = StaticTokens(tmp_path / "tokens.csv")
    if content is not None:
        tokens.path.write_bytes(content)
    assert await rejected(tokens, "one") == (503, "the operator can't read its token file")
    assert "nobody can be let in" in caplog.text
    tokens.path.write_text("one,web-0,uid-0\n")
    assert await tokens.authenticate("one") == pod("web-0", "uid-0")
