"""HTTP that a hostile server can't make long, large or wandering, as the session of a PrometheusConnect."""

import io
import json
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests import PreparedRequest, Response
from requests.auth import AuthBase, HTTPBasicAuth

from forefill_operator.load.readings import Fault, Kind, shown

_CHUNK = 64 * 1024
_LONGEST_ERROR = 200


class Answered(requests.RequestException):
    """The server's answer can't be used, and why."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.fault = Fault(kind, sentence)


class Session(requests.Session):
    """Follows no redirect, keeps no cookie, knows no proxy and no netrc; reads `most_bytes` within `seconds` at most.

    Compressed bodies are not asked for and not unpacked. Every answer but 200 raises Answered.
    """

    def __init__(
        self, most_bytes: int, seconds: float, verify: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._clock = clock
        self.trust_env = False
        self.verify = str(verify) if verify else True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        ends_at = self._clock() + self._seconds
        response = super().send(request, **{**options, "allow_redirects": False, "stream": True})
        try:
            body = self._body(response, ends_at)
        finally:
            response.close()
        if response.status_code != 200:
            raise _refusal(response.status_code, body)
        response.raw = io.BytesIO(body)
        return response

    def _body(self, response: Response, ends_at: float) -> bytes:
        body = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                body += chunk
                if len(body) > self._most_bytes:
                    raise Answered("TooLarge", f"got an answer of more than {self._most_bytes >> 10} KiB")
                if self._clock() > ends_at:
                    raise Answered("TimedOut", f"got no whole answer within {self._seconds:g} s")
        except urllib3.exceptions.TimeoutError:
            raise Answered("TimedOut", f"got no whole answer within {self._seconds:g} s") from None
        except urllib3.exceptions.HTTPError:
            raise Answered("BadAnswer", "got an answer that breaks off") from None
        return bytes(body)


class BearerFile(AuthBase):
    """The token is read for each request: it is rotated under us."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {_secret(self._path)}"
        return request


class BasicFile(AuthBase):
    """Likewise the password."""

    def __init__(self, username: str, path: Path) -> None:
        self._username, self._path = username, path

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        HTTPBasicAuth(self._username, _secret(self._path))(request)
        return request


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Answered("Unreachable", f"can't be asked: the credentials can't be read: {error}") from None


def _refusal(status: int, body: bytes) -> Answered:
    if 300 <= status < 400:
        return Answered("Redirected", f"got status {status}, but no redirect is followed; give the final URL")
    if status in (401, 403):
        return Answered("Refused", f"got status {status}: the source refuses the operator's credentials")
    return Answered("Refused", f"got status {status}{_reason(body)}")


def _reason(body: bytes) -> str:
    """What Prometheus says of a query that it can't evaluate; nothing of any other text."""
    try:
        text = json.loads(body[: 64 * 1024])["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {ascii(text[:_LONGEST_ERROR])[1:-1]}" if isinstance(text, str) else f": {shown(text)}"
