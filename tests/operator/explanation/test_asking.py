import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from forefill_operator.explanation import asking
from forefill_operator.explanation.answers import Answer
from forefill_operator.explanation.asking import NoAnswer, Unknown
from forefill_operator.health import Health

Serve = Callable[[int, bytes], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers so to everything; its URL."""
    servers: list[TestServer] = []

    async def start(status: int, body: bytes) -> str:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status, body=body or request.path_qs.encode())

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        servers.append(TestServer(application))
        await servers[-1].start_server()
        return str(servers[-1].make_url(""))

    yield start
    for server in servers:
        await server.close()


async def test_the_policy_and_the_client_are_asked_for_by_name(serve: Serve) -> None:
    url = await serve(200, b"")
    asked = [await asyncio.to_thread(asking.over_http, url, "ai/llm", client) for client in ("", "ai/web 0&x")]
    assert asked == [b"/v1/explain?policy=ai%2Fllm", b"/v1/explain?policy=ai%2Fllm&client=ai%2Fweb+0%26x"]


@pytest.mark.parametrize(
    ("status", "body", "error", "sentence"),
    [
        (404, b'{"error": "there is no TokenPolicy x here"}', Unknown, "there is no TokenPolicy x here"),
        (403, b'{"error": "not from there"}', NoAnswer, "not from there"),
        (404, b"404: Not Found", NoAnswer, "answers with status 404: is it an operator's --health?"),
        (500, b"[" * 100_000, NoAnswer, "answers with status 500: is it an operator's --health?"),
        (503, b'{"error": 5}', NoAnswer, "answers with status 503: is it an operator's --health?"),
    ],
)
async def test_a_refusal_is_told_in_a_sentence(
    serve: Serve, status: int, body: bytes, error: type[Exception], sentence: str
) -> None:
    url = await serve(status, body)
    with pytest.raises(error) as raised:
        await asyncio.to_thread(asking.over_http, url, "x", "")
    assert str(raised.value).endswith(sentence)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1", "no operator answers at http://127.0.0.1:1: "),
        ("ftp://127.0.0.1", "--operator is 'ftp://127.0.0.1', but must be http://HOST:PORT"),
        ("file:///etc/passwd", "--operator is 'file:///etc/passwd', but must be http://HOST:PORT"),
        ("operator", "--operator is 'operator', but must be http://HOST:PORT"),
        ("http://[::1", "--operator is 'http://[::1', but must be http://HOST:PORT"),
        ("http://127.0.0.1:x", "--operator is 'http://127.0.0.1:x', but must be http://HOST:PORT"),
    ],
)
def test_an_address_where_no_operator_is_is_told(url: str, sentence: str) -> None:
    with pytest.raises(NoAnswer) as raised:
        asking.over_http(url, "x", "")
    assert str(raised.value).startswith(sentence)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program of this name first on PATH that runs the given shell lines; where it writes what it is asked."""

    def put(lines: str) -> Path:
        program, asked = tmp_path / "kubectl", tmp_path / "asked"
        program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{lines}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return asked

    return put


PODS = 'case "$*" in *" get pods "*) echo pod/a; echo pod/b; exit 0;; esac'


def test_on_a_cluster_each_operator_is_asked_until_one_serves_the_policy(kubectl: Callable[[str], Path]) -> None:
    asked = kubectl(f'{PODS}\ncase "$*" in *" pod/b "*) echo "{{}}"; exit 0;; esac\nexit 1')
    assert asking.in_cluster("ff", "prod", "ai/llm", "web-0") == b"{}\n"
    assert asked.read_text().splitlines() == [
        "--context prod --namespace ff get pods "
        "--selector app.kubernetes.io/part-of=forefill,app.kubernetes.io/component=operator "
        "--field-selector status.phase=Running -o name",
        "--context prod --namespace ff exec pod/a --container operator -- "
        "forefill explain ai/llm --client web-0 --json",
        "--context prod --namespace ff exec pod/b --container operator -- "
        "forefill explain ai/llm --client web-0 --json",
    ]


@pytest.mark.parametrize(
    ("lines", "error", "sentence"),
    [
        ("echo 'error: no server' >&2; exit 1", NoAnswer, "kubectl can't list the operator's pods: error: no server"),
        ("exit 0", NoAnswer, "no operator runs in namespace ff; give --namespace"),
        (f"{PODS}\necho 'forefill explain: there is no TokenPolicy x here' >&2\n"
         "echo 'command terminated with exit code 1' >&2; exit 1", Unknown, "there is no TokenPolicy x here"),
        (f"{PODS}\nexit 126", NoAnswer, "it says nothing"),
    ],
)  # fmt: skip
def test_what_kubectl_refuses_is_told(
    kubectl: Callable[[str], Path], lines: str, error: type[Exception], sentence: str
) -> None:
    kubectl(lines)
    with pytest.raises(error) as raised:
        asking.in_cluster("ff", "", "x", "")
    assert str(raised.value) == sentence


def test_without_kubectl_a_cluster_can_t_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoAnswer, match="--kube needs kubectl, which is not installed"):
        asking.in_cluster("ff", "", "x", "")


@pytest.fixture
async def health() -> AsyncIterator[str]:
    told = Health(bytes, lambda: None, lambda: None, lambda policy, client: Answer(200, f"{policy} {client}".encode()))
    port = await told.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await told.close()


async def test_an_operator_explains_to_callers_on_loopback(health: str) -> None:
    assert await asyncio.to_thread(asking.over_http, health, "ai/llm", "w") == b"ai/llm w"
    assert await asyncio.to_thread(asking.over_http, health.replace("127.0.0.1", "localhost"), "llm", "") == b"llm "


async def test_a_name_that_was_made_to_lead_to_loopback_gets_no_explanation(health: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(health.rpartition(":")[2]))
    writer.write(b"GET /v1/explain?policy=ai/llm HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b'{"error": "explanations are given on loopback only"}')
    writer.close()
    await writer.wait_closed()
