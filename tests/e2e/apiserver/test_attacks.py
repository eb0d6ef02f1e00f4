"""Attempts that only a real API server can answer: tokens, pods, policies. The table is in docs/threat-model.md.

The operator is a process of its own with the chart's rights; the attacker speaks the protocol to its stream.
"""

import asyncio
import base64
import contextlib
import json
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from picows import ws_connect
from tests.peer import Peer

from forefill_protocol import messages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SYSTEM, SHOP, ELSEWHERE = "forefill-apiserver", "forefill-attack-shop", "forefill-attack-elsewhere"
INJECTED = {"forefill.io/injected": "true"}
ApiServer = Any


def policy(namespace: str) -> Any:
    return {
        "apiVersion": "forefill.io/v1alpha1",
        "kind": "TokenPolicy",
        "metadata": {"name": "llm", "namespace": namespace},
        "spec": {
            "mode": "Enforce",
            "upstream": {"url": "http://llm:8000"},
            "fillRate": {"base": 50, "min": 20, "max": 400},
        },
    }


def pod(name: str, labels: dict[str, str]) -> Any:
    """One that claims to be injected: what is attacked is what comes after."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SHOP, "labels": labels},
        "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "app:1"}]},
    }


@dataclass
class Target:
    server: ApiServer
    stream: int
    health: int

    def context(self) -> ssl.SSLContext:
        data = self.server.get("secret", "forefill-ca", "-n", SYSTEM)["data"]
        return ssl.create_default_context(cadata=base64.b64decode(data["tls.crt"]).decode())

    async def connect(self, token: str, ticket: bytes = b"") -> Peer:
        peer = Peer(patience=10.0)
        headers = {"Authorization": f"Bearer {token}"}
        if ticket:
            headers["Forefill-Ticket"] = base64.urlsafe_b64encode(ticket).decode().rstrip("=")
        await ws_connect(
            lambda: peer,
            f"wss://127.0.0.1:{self.stream}{messages.STREAM_PATH}",
            ssl_context=self.context(),
            server_hostname=f"forefill-operator.{SYSTEM}.svc",
            extra_headers=headers,
            use_aiofastnet=False,
        )
        return peer

    async def refused(self, token: str) -> tuple[int, str]:
        """Status and sentence that an upgrade with this token is answered with."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.stream, ssl=self.context(), server_hostname=f"forefill-operator.{SYSTEM}.svc"
        )
        fields = {"Host": "x", "Authorization": f"Bearer {token}", "Upgrade": "websocket", "Connection": "Upgrade"}
        lines = [f"GET {messages.STREAM_PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head, _, body = (await asyncio.wait_for(reader.read(), 10.0)).decode().partition("\r\n\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        return int(head.split()[1]), body.strip()

    def count(self, name: str, labels: str = "") -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=5) as response:
            page = response.read().decode()
        found = re.search(rf"^forefill_operator_{name}_total{re.escape(labels)} (.*)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def log(self) -> str:
        return str((self.server.folder / "operator.log").read_text())

    def pod(self, name: str, labels: dict[str, str] | None = None) -> str:
        """A new pod; its uid."""
        self.server.kubectl("delete", "pod", name, "-n", SHOP, "--force", "--ignore-not-found")
        created = self.server.create(pod(name, INJECTED if labels is None else labels))
        assert created.returncode == 0, created.stderr
        return str(json.loads(created.stdout)["metadata"]["uid"])

    def token(self, name: str, uid: str, audience: str = "forefill.io", seconds: int = 3600) -> str:
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}"]
        return str(self.server.token(SHOP, "web", f"--audience={audience}", f"--duration={seconds}s", *bound))


def two_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return int(one.getsockname()[1]), int(other.getsockname()[1])


@pytest.fixture(scope="module")
def target(installed: ApiServer) -> Iterator[Target]:
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (SHOP, ELSEWHERE)]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": SHOP}}
    installed.apply(*namespaces, account, policy(SHOP), policy(ELSEWHERE))
    stream, health = two_ports()
    deployment = installed.get("deployment", "forefill-operator", "-n", SYSTEM)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    more = [word for word in container["args"] if not word.startswith(("--kubernetes", "--stream", "--health"))]
    words = ["operator", "--kubernetes", f"--stream=127.0.0.1:{stream}", f"--health=127.0.0.1:{health}", *more]
    with installed.running(installed.account(SYSTEM, "forefill-operator"), *words):
        installed.until(lambda: is_ready(health), "the operator is ready")
        yield Target(installed, stream, health)
    for name in (SHOP, ELSEWHERE):
        installed.kubectl("delete", "tokenpolicy", "llm", "-n", name, "--ignore-not-found")


def is_ready(health: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def hello(namespace: str = SHOP) -> messages.Hello:
    holding = messages.Holding(policy=f"{namespace}/llm")
    return messages.Hello(protocol=1, boot_id="boot", software="test", holdings=[holding])


UNKNOWN = (401, "the API server does not know the token")


async def test_forged_expired_and_misaddressed_tokens_open_nothing(target: Target) -> None:
    uid = target.pod("bound")
    good = target.token("bound", uid)
    head, claims, signature = good.split(".")
    other = json.loads(base64.urlsafe_b64decode(claims + "=="))
    other["kubernetes.io"]["pod"]["name"] = "victim"
    edited, none = encoded(json.dumps(other).encode()), encoded(b'{"alg":"none"}')
    attempts = {
        "a changed signature": f"{head}.{claims}.{signature[:-8]}{'A' * 8}",
        "changed claims": f"{head}.{edited}.{signature}",
        "no algorithm": f"{none}.{edited}.",
        "another audience": target.token("bound", uid, audience="vault"),
        "the API server's audience": target.token("bound", uid, audience="https://kubernetes.default.svc"),
    }
    for name, token in attempts.items():
        assert await target.refused(token) == UNKNOWN, name
    unbound = target.server.token(SHOP, "web", "--audience=forefill.io")
    assert await target.refused(unbound) == (403, "the token is not bound to a pod")
    assert target.count("token_reviews", '{result="refused"}') >= len(attempts) + 1
    peer = await target.connect(good)
    assert isinstance(await peer.ask(hello()), messages.Assignment)
    await peer.close()


async def test_a_token_that_has_ended_opens_nothing(target: Target) -> None:
    """Signed by the API server's own key, as time would have made it."""
    good = target.token("bound", target.pod("bound"))
    key = serialization.load_pem_private_key((target.server.folder / "accounts.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    def signed(**changes: Any) -> str:
        head, claims, _ = good.split(".")
        told = json.loads(base64.urlsafe_b64decode(claims + "==")) | changes
        body = f"{head}.{encoded(json.dumps(told).encode())}"
        r, s = decode_dss_signature(key.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{body}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    peer = await target.connect(signed())
    await peer.close()
    now = int(time.time())
    assert await target.refused(signed(exp=now - 60, iat=now - 3660, nbf=now - 3660)) == UNKNOWN
    assert await target.refused(signed(nbf=now + 3600)) == UNKNOWN


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_a_pod_that_was_never_injected_opens_nothing(target: Target) -> None:
    uid = target.pod("plain", labels={"app": "web"})
    sentence = "the pod has no sidecar: it lacks the label forefill.io/injected"
    assert await target.refused(target.token("plain", uid)) == (403, sentence)


async def test_the_policy_of_another_namespace_gives_nothing(target: Target) -> None:
    uid = target.pod("bound")
    peer = await target.connect(target.token("bound", uid))
    answer = await peer.ask(hello(ELSEWHERE))
    assert answer == messages.Refused(
        code=403, policy=f"{ELSEWHERE}/llm", sentence=f"TokenPolicy {ELSEWHERE}/llm does not admit pod {SHOP}/bound"
    )
    await peer.close()


async def test_the_token_of_a_deleted_pod_opens_nothing_nor_does_its_successors_name(target: Target) -> None:
    uid = target.pod("bound")
    stolen = target.token("bound", uid)
    peer = await target.connect(stolen)
    assignment = await peer.ask(hello())
    assert isinstance(assignment, messages.Assignment)
    await peer.close()
    target.pod("bound")
    assert (await target.refused(stolen))[0] == 401
    # With the ticket, too, the stream opens only to be ended by the review.
    thief = await target.connect(stolen, assignment.ticket)
    await asyncio.wait_for(thief.closed.wait(), 15.0)
    await thief.close()
    assert target.count("streams_ended", '{reason="refused"}') >= 1.0


async def test_a_ticket_opens_a_stream_that_is_reviewed_afterwards(target: Target) -> None:
    uid = target.pod("bound")
    token = target.token("bound", uid)
    peer = await target.connect(token)
    assignment = await peer.ask(hello())
    assert isinstance(assignment, messages.Assignment)
    await peer.close()
    before = target.count("token_reviews", '{result="accepted"}')
    again = await target.connect(token, assignment.ticket)
    assert isinstance(await again.ask(hello()), messages.Assignment)
    async with asyncio.timeout(10.0):
        while target.count("token_reviews", '{result="accepted"}') == before:
            await asyncio.sleep(0.1)
    assert not again.closed.is_set()
    await again.close()


async def test_a_token_renews_only_its_own_pods_stream(target: Target) -> None:
    own, other = target.pod("bound"), target.pod("other")
    peer = await target.connect(target.token("bound", own))
    assert isinstance(await peer.ask(hello()), messages.Assignment)
    peer.send(messages.Renew(token=target.token("bound", own)))
    peer.send(messages.Renew(token=target.token("other", other)))
    assert await peer.refused() == (403, "the renewed token is another pod's")
    await peer.close()


def test_a_sidecars_token_is_nobodys_at_the_api_server(target: Target) -> None:
    token = target.token("bound", target.pod("bound"))
    server = target.server
    where = (f"--server={server.url}", f"--certificate-authority={server.folder}/ca.crt", "--kubeconfig=/dev/null")
    asked = server.kubectl("get", "secrets", "-n", SYSTEM, f"--token={token}", *where, check=False)
    assert asked.returncode != 0
    assert "Unauthorized" in asked.stderr or "must be logged in" in asked.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"upstream": {"url": "http://attacker.elsewhere.svc:80"}}, "upstream"),
        ({"upstream": {"url": "file:///etc/passwd"}}, "upstream"),
        ({"inject": {"env": [{"name": "PATH", "path": ""}]}}, "env"),
        ({"inject": {"env": [{"name": "LD_PRELOAD", "path": "/x"}]}}, "env"),
        ({"load": {"source": "http://169.254.169.254/latest"}}, "load.source"),
    ],
    ids=["another upstream", "a file", "PATH", "LD_PRELOAD", "a URL as source of load"],
)
def test_a_policy_is_not_edited_to_capture_credentials_or_reach_inside(change: Any, words: str, target: Target) -> None:
    patched = target.server.kubectl(
        "patch", "tokenpolicy", "llm", "-n", SHOP, "--type=merge", "-p", json.dumps({"spec": change}), check=False
    )
    assert patched.returncode != 0
    assert words in patched.stderr


def test_no_token_and_no_ticket_is_in_the_logs(target: Target) -> None:
    """Over all that the tests above did."""
    log = target.log()
    assert "eyJ" not in log
    assert not re.search(r"Bearer|Forefill-Ticket", log)


def test_the_operator_outlived_all_of_it(target: Target) -> None:
    time.sleep(0.5)
    assert is_ready(target.health)
    assert "Traceback" not in target.log()
