"""Asks an operator for an explanation: over HTTP where it listens, or inside its pod through kubectl."""

import http.client
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_SECONDS = 10.0
MOST_BYTES = 16 * 1024 * 1024
SELECTOR = "app.kubernetes.io/part-of=forefill,app.kubernetes.io/component=operator"


class Unknown(Exception):
    """The operator knows no such policy or client."""


class NoAnswer(Exception):
    """Nobody answered, or nothing that can be used. The sentence says what can be done."""


def over_http(url: str, policy: str, client: str) -> bytes:
    """The document from the operator at `url`. Raises Unknown and NoAnswer."""
    query = urlencode({"policy": policy, **({"client": client} if client else {})})
    if not _is_http(url):
        raise NoAnswer(f"--operator is {url!r}, but must be http://HOST:PORT, where the operator's --health is")
    # No proxy: the operator is asked where it listens, on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url.rstrip('/')}/v1/explain?{query}", timeout=TIMEOUT_SECONDS) as response:
            body: bytes = response.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, error.code, error.read(MOST_BYTES)) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(f"no operator answers at {url}: {reason}; start it with --health, or give --operator") from None
    if len(body) > MOST_BYTES:
        raise NoAnswer(f"{url} gives more than {MOST_BYTES >> 20} MiB, which no operator does")
    return body


def in_cluster(namespace: str, context: str, policy: str, client: str) -> bytes:
    """The document from the operator that serves the policy: it answers on its pod's loopback alone."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise NoAnswer("--kube needs kubectl, which is not installed")
    command = [kubectl, *(["--context", context] if context else []), "--namespace", namespace]
    pods = _run(
        [*command, "get", "pods", "--selector", SELECTOR, "--field-selector", "status.phase=Running", "-o", "name"]
    )
    if pods.returncode != 0:
        raise NoAnswer(f"kubectl can't list the operator's pods: {_last_line(pods)}")
    names = pods.stdout.decode(errors="replace").split()
    if not names:
        raise NoAnswer(f"no operator runs in namespace {namespace}; give --namespace")
    explain = ["forefill", "explain", policy, *(["--client", client] if client else []), "--json"]
    for name in names:
        done = _run([*command, "exec", name, "--container", "operator", "--", *explain])
        if done.returncode == 0:
            return done.stdout
    # kubectl exec ends with the status of what it ran.
    raise (Unknown if done.returncode == 1 else NoAnswer)(_last_line(done))


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _refused(url: str, status: int, body: bytes) -> Exception:
    try:
        sentence: Any = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        sentence = None
    if not isinstance(sentence, str):
        return NoAnswer(f"{url} answers with status {status}: is it an operator's --health?")
    return Unknown(sentence) if status == 404 else NoAnswer(sentence)


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(command, capture_output=True, timeout=6 * TIMEOUT_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command[0]} does not end") from None


def _last_line(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if not line.startswith("command term")]
    return (lines or ["it says nothing"])[-1].removeprefix("forefill explain: ")
