"""What this proxy's parsers accept has to mean the same to h11, which others wrote."""

from collections.abc import Callable
from typing import TypeVar

import h11

from forefill_sidecar.proxy import framing
from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, ChunkedFraming
from forefill_sidecar.proxy.head import RequestHead, ResponseHead, find_end, parse_request, parse_response

# What h11 holds against a message that is no matter of where it ends or what it means.
_OWN_LIMITS = ("Receive buffer too long",)
_Head = TypeVar("_Head", RequestHead, ResponseHead)


class Disagreement(AssertionError):
    """Two parsers read one message differently: what smuggling lives from."""


def request(data: bytes) -> None:
    """Raises Disagreement if `data` begins with a complete request that is accepted here and read otherwise there."""
    if read := _read_here(parse_request, data):
        head, content, message = read
        _compare(message, (head.method, content), _read_by(h11.Connection(h11.SERVER), message))


def response(data: bytes) -> None:
    """Likewise for responses to a GET."""
    if not (read := _read_here(parse_response, data)):
        return
    head, content, message = read
    if head.status < 200 or head.status in (204, 304) or not (head.is_chunked or head.content_length is not None):
        return
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    _compare(message, (head.status, content), _read_by(connection, message))


def _read_here(parse: Callable[[bytes], _Head], data: bytes) -> tuple[_Head, bytes, bytes] | None:
    """The head, the content and all bytes of the message that `data` begins with; None when there is no whole one."""
    try:
        end = find_end(data)
        if not end:
            return None
        head = parse(data[:end])
        body = framing.of(head.content_length, head.is_chunked)
        if isinstance(body, ChunkedFraming):
            body.keeps_payload = True
        taken = body.feed(data[end:])
    except (BadHead, BadBody):
        return None
    if not body.is_done:
        return None
    content = body.take_payload() if isinstance(body, ChunkedFraming) else data[end : end + taken]
    return head, content, data[: end + taken]


def _compare(message: bytes, here: tuple[object, bytes], there: tuple[object, bytes]) -> None:
    if here != there:
        raise Disagreement(f"{message!r} is {here[0]!r} {here[1]!r} here, {there[0]!r} {there[1]!r} there")


def _read_by(connection: h11.Connection, data: bytes) -> tuple[bytes | int | None, bytes]:
    """Method or status, and content; raises Disagreement when h11 can't read it to its end."""
    start: bytes | int | None = None
    content = b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                start = event.method
            elif isinstance(event, h11.Response):
                start = event.status_code
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                return start, content
            else:
                raise Disagreement(f"{data!r} is complete here, but {event!r} there")
    except h11.RemoteProtocolError as error:
        if str(error) in _OWN_LIMITS:
            return start, content
        raise Disagreement(f"{data!r} is accepted here, but there: {error}") from None
