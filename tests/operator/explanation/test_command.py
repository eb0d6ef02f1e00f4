import asyncio
import contextlib
import json
import os
import pty
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from forefill_operator.explanation import command

Serve = Callable[[int, str], Awaitable[str]]

DOCUMENT = json.dumps(
    {
        "about": "client", "policy": "ai/llm", "mode": "Enforce", "client": "ai/web-0", "pod_uid": "uid-0",
        "workload": "", "class_name": "batch", "is_connected": True, "heard_seconds": 1.0, "forecast": 40.0,
        "shadow": 50.0, "shadow_spread": 5.0, "trust": 1.0, "skill": 0.1, "is_newcomer": False, "believed": 40.0,
        "backlog": 0.0, "backlog_rate": 0.0, "declared": 0.0, "request": 40.0, "reactive": 38.0, "spread": 4.0,
        "priority": 1.05, "share": 60.0, "is_short": False, "planned": 44.0, "rate": 44.0, "safe_rate": 20.0,
        "held": 44.0, "burst": 130.0, "lump": 0.0, "rate_seconds": 11.0, "lease_seconds": 29.0, "offered": 38.0,
        "admitted": 38.0, "would_wait": 0.0, "would_refuse": 0.0, "verdict": "None", "anomalies": [],
        "sentence": "44 tokens/s: asked for 40 and got 4 of the surplus",
    }
)  # fmt: skip


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts an operator that answers so; its URL."""
    servers: list[TestServer] = []

    async def start(status: int, text: str) -> str:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status, text=text, content_type="application/json")

        application = web.Application()
        application.router.add_get("/v1/explain", answer)
        servers.append(TestServer(application))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


async def run(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(command.main, arguments, {"FOREFILL_OPERATOR": url})


async def test_without_a_terminal_plain_text_is_printed(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(await serve(200, DOCUMENT), "llm", "--client", "web-0") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "Client ai/web-0 of TokenPolicy ai/llm"
    assert out.splitlines()[-1] == "44 tokens/s: asked for 40 and got 4 of the surplus."
    assert err == ""


async def test_json_is_the_whole_document(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(await serve(200, DOCUMENT), "llm", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(DOCUMENT)


@pytest.mark.parametrize(
    ("status", "text", "exit_status", "sentence"),
    [
        (404, '{"error": "there is no TokenPolicy llm here"}', 1, "there is no TokenPolicy llm here"),
        (403, '{"error": "explanations are given on loopback only"}', 2, "explanations are given on loopback only"),
        (200, "{}", 2, "the operator is of another version: "),
        (200, "<html>", 2, "the operator is of another version: "),
    ],
)
async def test_each_refusal_has_its_exit_status_and_one_sentence(
    serve: Serve, capsys: pytest.CaptureFixture[str], status: int, text: str, exit_status: int, sentence: str
) -> None:
    assert await run(await serve(status, text), "llm") == exit_status
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"forefill explain: {sentence}")


async def test_json_of_something_else_is_not_printed(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(await serve(200, "<html>"), "llm", "--json") == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seconds", ["0", "nan", "soon", "1e9"])
def test_a_watch_has_a_sensible_pace(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["llm", "--watch", seconds], {})
    assert ended.value.code == 2
    assert f"{seconds!r} must be seconds from 0.2 to 3600" in capsys.readouterr().err


async def test_a_terminal_gets_bars_and_a_watch_ends_when_interrupted(serve: Serve) -> None:
    ours, theirs = pty.openpty()
    url = await serve(200, DOCUMENT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forefill", "explain", "llm", "--watch", "0.2", f"--operator={url}",
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "110"},
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    async with asyncio.timeout(30.0):
        while shown.count("= planned") < 3:
            shown += (await asyncio.to_thread(os.read, ours, 65536)).decode(errors="replace")
        process.send_signal(2)
        # What it still writes has to go somewhere; EIO says that it has closed its end.
        with contextlib.suppress(OSError):
            while True:
                await asyncio.to_thread(os.read, ours, 65536)
        assert await process.wait() == 0
    os.close(ours)
    assert "╭─" in shown
    assert "████" in shown
