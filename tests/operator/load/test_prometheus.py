import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from forefill_operator.load import prometheus
from forefill_operator.load.prometheus import Prometheus
from forefill_operator.load.readings import Fault, Rates, Reading
from forefill_operator.policy import TokenPolicy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Start = Callable[[Answer], Awaitable[str]]
Ask = Callable[..., Prometheus]
MakePolicy = Callable[..., TokenPolicy]

NODE = {
    "cpu": '1 - avg(rate(node_cpu_seconds_total{mode="idle"}[30s]))',
    "memory": "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "network": "sum(rate(node_network_receive_bytes_total[30s])) / 1e12",
}


def vector(*texts: str, **labels: str) -> dict[str, object]:
    result = [{"metric": labels, "value": [1700000000.1, text]} for text in texts]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def body(text: str, **options: object) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json", **options)  # type: ignore[arg-type]

    return answer


async def test_a_real_prometheus_tells_the_load_of_the_machine_that_it_scrapes(
    real_prometheus: str, ask: Ask, make_policy: MakePolicy
) -> None:
    seconds: list[float] = []
    readings = await ask(real_prometheus, seconds).read(make_policy(spec__load=NODE))
    assert readings.keys() == NODE.keys()
    assert {part: reading.fault for part, reading in readings.items()} == dict.fromkeys(NODE)
    for reading in readings.values():
        assert reading.value is not None
        assert 0.0 <= reading.value <= 1.0
    assert readings["memory"].value
    assert len(seconds) == 3


@pytest.mark.parametrize(
    ("expression", "reading"),
    [
        ("vector(0.25)", Reading(0.25)),
        ("scalar(vector(0.25))", Reading(0.25)),
        (
            "0 / vector(0)",
            Reading(None, Fault("NotFinite", "is 'NaN', not a finite number; is something divided by 0?")),
        ),
        (
            "1 / vector(0)",
            Reading(None, Fault("NotFinite", "is '+Inf', not a finite number; is something divided by 0?")),
        ),
        ("vector(-1)", Reading(None, Fault("Negative", "is -1, but must be from 0 to 1"))),
        (
            "100 * vector(0.5)",
            Reading(
                1.0, Fault("AboveOne", "is 50 and counts as 1: it must be from 0 to 1, a percentage divided by 100")
            ),
        ),
        ('"text"', Reading(None, Fault("NotANumber", "gives 'text', which is no number"))),
        (
            "node_cpu_renamed_total",
            Reading(
                None, Fault("NoSeries", "gives no series; does the metric still have this name, and is it scraped?")
            ),
        ),
        (
            "vector(1) or label_replace(vector(1), 'a', 'b', '', '')",
            Reading(None, Fault("ManySeries", "gives 2 series, but must give one; put it in avg() or max()")),
        ),
        (
            "node_memory_MemTotal_bytes[1m]",
            Reading(
                None,
                Fault(
                    "BadAnswer",
                    "gives something else than one number a series; does it end in a range such as [5m]?",
                ),
            ),
        ),
        (
            "avg(",
            Reading(
                None,
                Fault(
                    "Refused",
                    'got status 400: invalid parameter "query": 1:5: parse error: unclosed left parenthesis',
                ),
            ),
        ),
    ],
)
async def test_a_real_prometheus_shows_every_fault_of_an_expression(
    real_prometheus: str, ask: Ask, make_policy: MakePolicy, expression: str, reading: Reading
) -> None:
    assert await ask(real_prometheus).read(make_policy(spec__load={"cpu": expression})) == {"cpu": reading}


async def test_a_real_prometheus_tells_what_each_client_used(
    real_prometheus: str, ask: Ask, make_policy: MakePolicy
) -> None:
    expression = "label_replace(vector(12.5), 'pod', 'web-0', '', '')"
    assert await ask(real_prometheus).rates(make_policy(spec__load={"clients": expression})) == Rates(
        {"ai/web-0": 12.5}
    )


NOT_JSON = Fault("BadAnswer", "got an answer that is not Prometheus's JSON")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (body("busy"), NOT_JSON),
        (body(""), NOT_JSON),
        (body("[]"), NOT_JSON),
        (body('{"status": "success"}'), NOT_JSON),
        (body('{"data": {"result": ' + "[" * 100_000), NOT_JSON),
        (body('{"data": {"result": [{"value": [0, ' + "1" * 10_000 + "]}]}}"), NOT_JSON),
        (body('{"status": "error", "error": "\\u001b[2Jgone\\u000a"}', status=422),
         Fault("Refused", "got status 422: \\x1b[2Jgone\\n")),
        (body("a secret page", status=500), Fault("Refused", "got status 500")),
        (body("", status=403), Fault("Refused", "got status 403: the source refuses the operator's credentials")),
        (body(" " * 300_000), Fault("TooLarge", "got an answer of more than 256 KiB")),
        (body(str(vector("1e400")).replace("'", '"')),
         Fault("NotFinite", "is '1e400', not a finite number; is something divided by 0?")),
        (body(str(vector("NaN")).replace("'", '"')),
         Fault("NotFinite", "is 'NaN', not a finite number; is something divided by 0?")),
        (body("\x1f\x8b", headers={"Content-Encoding": "gzip"}), NOT_JSON),
    ],
)  # fmt: skip
async def test_a_source_that_lies_is_named(
    liar: Start, ask: Ask, make_policy: MakePolicy, answer: Answer, fault: Fault
) -> None:
    source = ask(await liar(answer))
    assert await source.read(make_policy(spec__load={"cpu": "up"})) == {"cpu": Reading(None, fault)}


async def test_a_redirect_is_not_followed(liar: Start, ask: Ask, make_policy: MakePolicy) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(vector("0.5"))

    target = await liar(elsewhere)

    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{target}/latest/meta-data")

    source = ask(await liar(redirect))
    fault = Fault("Redirected", "got status 302, but no redirect is followed; give the final URL")
    assert await source.read(make_policy(spec__load={"cpu": "up"})) == {"cpu": Reading(None, fault)}
    assert asked == []


async def test_a_body_that_drips_is_given_up_on_after_the_time_out(
    liar: Start, ask: Ask, make_policy: MakePolicy
) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    source = ask(await liar(drip), timeout_seconds=0.5)
    started = time.monotonic()
    fault = Fault("TimedOut", "got no whole answer within 0.5 s")
    assert await source.read(make_policy(spec__load={"cpu": "up"})) == {"cpu": Reading(None, fault)}
    assert time.monotonic() - started < 5.0


async def test_silence_and_a_closed_port_are_told_apart(liar: Start, ask: Ask, make_policy: MakePolicy) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(5.0)
        return web.Response()

    policy = make_policy(spec__load={"cpu": "up"})
    silence = ask(await liar(silent), timeout_seconds=0.2)
    assert await silence.read(policy) == {"cpu": Reading(None, Fault("TimedOut", "got no answer within 0.2 s"))}
    closed = ask("http://127.0.0.1:1")
    fault = Fault("Unreachable", "can't be asked: the source can't be reached")
    assert await closed.read(policy) == {"cpu": Reading(None, fault)}


async def test_a_source_that_is_away_is_left_alone_so_that_no_queue_forms(
    liar: Start, ask: Ask, make_policy: MakePolicy
) -> None:
    asked: list[str] = []

    async def silent(request: web.Request) -> web.Response:
        asked.append(request.query["query"])
        await asyncio.sleep(5.0)
        return web.Response()

    source = ask(await liar(silent), timeout_seconds=0.2)
    policies = [make_policy(spec__load={"cpu": f"up == {number}"}) for number in range(100)]
    readings = await asyncio.gather(*(source.read(policy) for policy in policies))
    assert {reading["cpu"].fault for reading in readings} == {Fault("TimedOut", "got no answer within 0.2 s")}
    assert len(asked) <= prometheus.AWAY_AFTER + 4


async def test_the_same_expression_of_many_policies_is_asked_once(
    liar: Start, ask: Ask, make_policy: MakePolicy
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["query"])
        return web.json_response(vector("0.5"))

    source = ask(await liar(answer))
    policy = make_policy(spec__load={"cpu": "up", "memory": "up"})
    readings = await asyncio.gather(*(source.read(policy) for _ in range(50)))
    assert readings == [{"cpu": Reading(0.5), "memory": Reading(0.5)}] * 50
    assert asked == ["up"]


async def test_a_token_is_read_for_each_request_and_a_missing_one_is_a_fault(
    liar: Start, ask: Ask, make_policy: MakePolicy, tmp_path: Path
) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response(vector("0.5"))

    token = tmp_path / "token"
    source = ask(await liar(answer), bearer_token_file=token)
    missing = (await source.read(make_policy(spec__load={"cpu": "a"})))["cpu"].fault
    token.write_text("first\n")
    assert await source.read(make_policy(spec__load={"cpu": "b"})) == {"cpu": Reading(0.5)}
    token.write_text("second\n")
    assert await source.read(make_policy(spec__load={"cpu": "c"})) == {"cpu": Reading(0.5)}
    assert seen == ["Bearer first", "Bearer second"]
    assert missing is not None
    assert missing.kind == "Unreachable"


async def test_headers_of_the_source_go_along_and_cookies_do_not(
    liar: Start, ask: Ask, make_policy: MakePolicy
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers.get("X-Scope-OrgID"), request.headers.get("Cookie")))
        response = web.json_response(vector("0.5"))
        response.set_cookie("follow", "me")
        return response

    source = ask(await liar(answer), headers={"X-Scope-OrgID": "ai"})
    for expression in ("a", "b"):
        await source.read(make_policy(spec__load={"cpu": expression}))
    assert seen == [("ai", None), ("ai", None)]
