"""What this proxy's parsers accept has to mean the same to h11, which others wrote."""

import h11

from forefill_sidecar.proxy import framing
from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, ChunkedFraming
from forefill_sidecar.proxy.head import find_end, parse_request, parse_response

# What h11 holds against a message that is no matter of where it ends or what it means.
_OWN_LIMITS = ("Receive buffer too long",)


class Disagreement(AssertionError):
    """Two parsers read one message differently: what smuggling lives from."""


def request(data: bytes) -> None:
    """Raises Disagreement if `data` begins with a complete request that is accepted here and read otherwise there."""
    try:
        end = find_end(data)
        if not end:
            return
        head = parse_request(data[:end])
        body = framing.of(head.content_length, head.is_chunked)
        if isinstance(body, ChunkedFraming):
            body.keeps_payload = True
        taken = body.feed(data[end:])
    except (BadHead, BadBody):
        return
    if not body.is_done:
        return
    content = body.take_payload() if isinstance(body, ChunkedFraming) else data[end : end + taken]
    method, there = _read_by(h11.Connection(h11.SERVER), data[: end + taken])
    if (head.method, content) != (method, there):
        raise Disagreement(f"{data[: end + taken]!r} is {head.method!r} {content!r} here, {method!r} {there!r} there")


def response(data: bytes) -> None:
    """Likewise for responses to a GET."""
    try:
        end = find_end(data)
        if not end:
            return
        head = parse_response(data[:end])
        if head.status < 200 or head.status in (204, 304) or not (head.is_chunked or head.content_length is not None):
            return
        body = framing.of(head.content_length, head.is_chunked)
        if isinstance(body, ChunkedFraming):
            body.keeps_payload = True
        taken = body.feed(data[end:])
    except (BadHead, BadBody):
        return
    if not body.is_done:
        return
    content = body.take_payload() if isinstance(body, ChunkedFraming) else data[end : end + taken]
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    status, there = _read_by(connection, data[: end + taken])
    if (head.status, content) != (status, there):
        raise Disagreement(f"{data[: end + taken]!r} is {head.status} {content!r} here, {status!r} {there!r} there")


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
