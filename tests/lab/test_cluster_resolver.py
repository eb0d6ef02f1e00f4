from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from forefill_lab.cluster import resolver

ADDRESS = socket.inet_aton("10.96.0.1")


def serve_once(reply: Callable[[bytes], bytes]) -> int:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    port: int = server.getsockname()[1]

    def answer() -> None:
        with server:
            query, client = server.recvfrom(512)
            server.sendto(reply(query), client)

    threading.Thread(target=answer).start()
    return port


def test_a_question_is_laid_out_as_rfc_1035_says() -> None:
    assert resolver.question("a.example", 0x1234) == (
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
    )


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda query: query + ADDRESS, True),
        (lambda query: query + socket.inet_aton("10.0.0.9"), False),
        (lambda query: bytes([query[0] ^ 1]) + query[1:] + ADDRESS, False),
        (lambda query: query[:2], False),
    ],
    ids=["the address", "another address", "another question's answer", "nothing"],
)
def test_only_the_answer_to_our_question_counts(reply: Callable[[bytes], bytes], expected: bool) -> None:
    port = serve_once(reply)
    assert resolver.resolves("127.0.0.1", port, "kubernetes.default", "10.96.0.1") is expected


def test_a_closed_port_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert not resolver.resolves("127.0.0.1", port, "kubernetes.default", "10.96.0.1")
