import asyncio
import base64
import datetime
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from forefill_operator.kube import certificates, injector
from forefill_operator.kube.api import Api
from forefill_operator.kube.certificates import Pair

LIST = "GET /apis/forefill.io/v1alpha1/tokenpolicies"
HERE = "GET /apis/forefill.io/v1alpha1/namespaces/shop/tokenpolicies"
NOW = datetime.datetime.now(datetime.UTC)
AUTHORITY = certificates.make_authority("ca", NOW)
HOST = "forefill-injector.forefill.svc"

Trusting = Callable[[bytes], ssl.SSLContext]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@dataclass
class Running:
    port: int
    health: int
    folder: Path
    session: aiohttp.ClientSession
    context: ssl.SSLContext
    task: "asyncio.Task[None]"

    async def post(self, text: bytes | str, path: str = "/inject") -> tuple[int, Any]:
        async with self.session.post(
            f"https://127.0.0.1:{self.port}{path}", data=text, ssl=self.context, server_hostname=HOST
        ) as response:
            return response.status, await response.json()

    async def review(self, pod: Any, namespace: str = "shop", path: str = "/inject") -> Any:
        request = {"uid": "review-1", "namespace": namespace, "operation": "CREATE", "object": pod}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        status, answer = await self.post(json.dumps(body), path)
        assert status == 200
        assert answer["response"]["uid"] == "review-1"
        assert answer["response"]["allowed"] is True
        return answer["response"]

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://127.0.0.1:{self.health}{path}") as response:
            return response.status, await response.text()

    async def ready(self) -> None:
        while True:
            if (await self.answer("/readyz"))[0] == 200:
                return
            await asyncio.sleep(0.01)

    async def answer(self, path: str) -> tuple[int, str]:
        """What is answered as soon as anything is."""
        while True:
            if self.task.done():
                self.task.result()
            try:
                return await self.get(path)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)


def write(folder: Path, pair: Pair) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    (folder / "ca.crt").write_bytes(AUTHORITY.certificate)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(api: Api, folder: Path, context: ssl.SSLContext) -> AsyncIterator[Running]:
    port, health = free_port(), free_port()
    words = [
        f"--listen=127.0.0.1:{port}",
        f"--health=127.0.0.1:{health}",
        f"--certificates={folder}",
        "--operator=wss://forefill-operator.forefill.svc:8443/v1/stream",
        "--image=sidecar:1",
        '--resources={"requests": {"cpu": "10m"}}',
    ]
    started = injector.Injector(api, injector.parser().parse_args(words))
    task = asyncio.get_running_loop().create_task(started.run())
    async with aiohttp.ClientSession() as session:
        yield Running(port, health, folder, session, context, task)
        started.stop()
        await task


@pytest.fixture
async def webhook(
    api: Api, api_server: Any, manifest: Callable[..., Any], tmp_path: Path, trusting: Trusting
) -> AsyncIterator[Running]:
    write(tmp_path, certificates.issue(AUTHORITY, [HOST], NOW))
    api_server.answers[LIST] = (200, {"metadata": {"resourceVersion": "7"}, "items": [manifest()]})
    async with running(api, tmp_path, trusting(AUTHORITY.certificate)) as served:
        await served.ready()
        yield served


def operations(response: Any) -> list[Any]:
    assert response["patchType"] == "JSONPatch"
    patch: list[Any] = json.loads(base64.b64decode(response["patch"]))
    return patch


async def test_a_pod_that_asks_is_patched(webhook: Running, pod: Callable[..., Any]) -> None:
    response = await webhook.review(pod())
    added = {operation["path"] for operation in operations(response)}
    assert added == {
        "/spec/containers/0/env",
        "/spec/volumes",
        "/spec/initContainers",
        "/metadata/labels",
        "/metadata/annotations/forefill.io~1status",
        "/metadata/annotations/config.linkerd.io~1skip-inbound-ports",
        "/metadata/annotations/traffic.sidecar.istio.io~1excludeInboundPorts",
    }
    assert "warnings" not in response


async def test_a_pod_that_can_not_have_one_starts_without_and_hears_why(
    webhook: Running, pod: Callable[..., Any]
) -> None:
    response = await webhook.review(pod(hostNetwork=True))
    why = "the pod uses hostNetwork: its sidecar's ports would be the node's, open to every pod there"
    assert operations(response) == [
        {"op": "add", "path": "/metadata/annotations/forefill.io~1status", "value": json.dumps({"refused": why})}
    ]
    assert response["warnings"] == [f"forefill: the pod gets no sidecar: {why}"]


async def test_a_pod_that_says_nothing_gets_a_sidecar_only_where_the_namespace_wants_one(
    webhook: Running, pod: Callable[..., Any]
) -> None:
    silent = pod()
    del silent["metadata"]["annotations"]
    unwilling = pod({"forefill.io/inject": "false"})
    assert "patch" not in await webhook.review(silent)
    assert operations(await webhook.review(silent, path="/inject-by-default"))
    assert "patch" not in await webhook.review(unwilling, path="/inject-by-default")


async def test_a_kept_variable_is_warned_of(webhook: Running, pod: Callable[..., Any]) -> None:
    own = {"name": "app", "image": "a", "env": [{"name": "OPENAI_BASE_URL", "value": "x"}]}
    response = await webhook.review(pod(containers=[own]))
    assert "app/OPENAI_BASE_URL" in response["warnings"][0]
    assert operations(response)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"apiVersion": "admission.k8s.io/v1", "request": null}',
        b'{"apiVersion": "admission.k8s.io/v1", "request": {"uid": 1, "namespace": "a", "object": {"kind": "Pod"}}}',
        b'{"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u", "namespace": "a", "object": {"kind": "Node"}}}',
        b"\xff\xfe",
    ],
)
async def test_what_is_no_review_gets_400_and_harms_nothing(
    text: bytes, webhook: Running, pod: Callable[..., Any]
) -> None:
    status, answer = await webhook.post(text)
    assert (status, list(answer)) == (400, ["error"])
    assert operations(await webhook.review(pod()))


async def test_a_pod_that_the_code_can_not_read_starts_all_the_same(webhook: Running) -> None:
    broken = {
        "kind": "Pod",
        "metadata": {"annotations": {"forefill.io/inject": "true"}},
        "spec": {"containers": ["not an object"]},
    }
    response = await webhook.review(broken)
    assert response["warnings"] == ["forefill: the pod gets no sidecar: the injector failed; its log says why"]


async def test_a_policy_made_just_now_is_asked_for(
    webhook: Running, api_server: Any, manifest: Callable[..., Any], pod: Callable[..., Any]
) -> None:
    path = "/apis/forefill.io/v1alpha1/namespaces/shop/tokenpolicies/fresh"
    api_server.answers[f"GET {path}"] = (200, manifest("shop/fresh"))
    response = await webhook.review(pod({"forefill.io/policy": "fresh"}))
    assert operations(response)


async def test_the_last_known_policies_serve_while_the_api_server_is_away(
    webhook: Running, api_server: Any, pod: Callable[..., Any]
) -> None:
    api_server.answers = {LIST: (503, {}), HERE: (503, {})}
    api_server.events.put_nowait(None)
    assert operations(await webhook.review(pod()))
    assert (await webhook.get("/readyz"))[0] == 200
    response = await webhook.review(pod({"forefill.io/policy": "unseen"}))
    assert "no TokenPolicy shop/unseen" in response["warnings"][0]


async def test_a_change_comes_by_the_watch(
    webhook: Running, api_server: Any, manifest: Callable[..., Any], pod: Callable[..., Any], eventually: Eventually
) -> None:
    changed = manifest(inject={"port": 17005, "env": [{"name": "OPENAI_BASE_URL", "path": "/v1"}]})
    changed["metadata"]["resourceVersion"] = "8"
    api_server.events.put_nowait({"type": "MODIFIED", "object": changed})
    await eventually(api_server.events.empty)
    value = None
    while value != "http://127.0.0.1:17005/v1":
        patch = {operation["path"]: operation["value"] for operation in operations(await webhook.review(pod()))}
        value = patch["/spec/containers/0/env"][0]["value"]


async def test_a_new_certificate_is_served_and_open_connections_go_on(
    webhook: Running, pod: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, trusting: Trusting
) -> None:
    first = await asyncio.open_connection("127.0.0.1", webhook.port, ssl=webhook.context, server_hostname=HOST)
    old = first[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
    write(webhook.folder, certificates.issue(AUTHORITY, [HOST], NOW))
    served = old
    while served == old:
        context = trusting(AUTHORITY.certificate)
        _, writer = await asyncio.open_connection("127.0.0.1", webhook.port, ssl=context, server_hostname=HOST)
        served = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
    first[1].write(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await first[0].readline()).startswith(b"HTTP/1.1 404")
    first[1].close()
    await first[1].wait_closed()
    assert operations(await webhook.review(pod()))


async def test_decisions_are_counted(webhook: Running, pod: Callable[..., Any]) -> None:
    await webhook.review(pod())
    await webhook.review(pod(hostNetwork=True))
    await webhook.post(b"{}")
    _, text = await webhook.get("/metrics")
    for result in ("injected", "refused", "malformed"):
        assert f'forefill_injector_admissions_total{{result="{result}"}} 1.0' in text
    assert "forefill_injector_policies 1.0" in text


async def test_nothing_listens_before_there_is_a_certificate(
    api: Api, api_server: Any, tmp_path: Path, trusting: Trusting
) -> None:
    api_server.answers[LIST] = (200, {"metadata": {"resourceVersion": "7"}, "items": []})
    async with running(api, tmp_path, trusting(AUTHORITY.certificate)) as waiting:
        assert await waiting.answer("/readyz") == (503, "the webhook does not listen yet\n")
        write(tmp_path, certificates.issue(AUTHORITY, [HOST], NOW))
        await waiting.ready()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--listen=9443"], "'9443' is not HOST:PORT"),
        (["--resources=many"], "'many' is not a JSON object"),
        (["--image-pull-policy=Sometimes"], "invalid choice"),
        ([], "required"),
    ],
)
def test_what_can_not_be_used_is_told_in_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        injector.main(words)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
