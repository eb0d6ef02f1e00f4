"""Every target by name: what is fuzzed with coverage of which package, and by which judge."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Judge = Callable[[bytes], object]


class Target(NamedTuple):
    """`load` imports the judge: what is imported while it runs tells the fuzzer which of its lines an input reaches."""

    packages: list[str]
    load: Callable[[], Judge]
    start: bytes = b""


def _request() -> Judge:
    from bench.fuzz import agreement

    return agreement.request


def _response() -> Judge:
    from bench.fuzz import agreement

    return agreement.response


def _decoder(name: str) -> Callable[[], Judge]:
    def load() -> Judge:
        from bench.fuzz import decoders

        judge: Judge = getattr(decoders, name)
        return judge

    return load


def _document(name: str) -> Callable[[], Judge]:
    def load() -> Judge:
        from bench.fuzz import documents

        judge: Judge = getattr(documents, name)
        return judge

    return load


def _hostile() -> Judge:
    from bench.fuzz import hostile
    from hypothesis import given

    def play(script: list[list[hostile.Act]]) -> None:
        hostile.play(script)

    judge: Judge = given(hostile.SCRIPTS)(play).hypothesis.fuzz_one_input
    return judge


_CODEC = ["forefill_protocol.codec"]
_OPERATOR, _SIDECAR = ["forefill_operator"], ["forefill_sidecar"]
_PROXY = ["forefill_sidecar.proxy"]
TARGETS: Mapping[str, Target] = {
    "request": Target(_PROXY, _request, b"GET / HTTP/1.1\r\nHost: a\r\n"),
    "response": Target(_PROXY, _response, b"HTTP/1.1 200 OK\r\n"),
    "up": Target(_CODEC, _decoder("up"), b"\1\0"),
    "down": Target(_CODEC, _decoder("down"), b"\1\0"),
    "record": Target(_OPERATOR, _decoder("record")),
    "relayed": Target(_OPERATOR, _decoder("relayed")),
    "owner": Target(_OPERATOR, _decoder("owner")),
    "ticket": Target(_OPERATOR, _decoder("ticket")),
    "ticket-keys": Target(_OPERATOR, _decoder("ticket_keys")),
    "settings": Target(["forefill_protocol"], _decoder("settings")),
    "kept": Target(_SIDECAR, _decoder("kept")),
    "learned": Target(_SIDECAR, _decoder("learned")),
    "policy": Target(_OPERATOR, _document("manifest_text")),
    "answer": Target(["forefill_operator.load"], _document("answer_text")),
    "table": Target(["forefill_lab.simulator", "forefill_sidecar.forecast"], _document("table_text"), b"t,tokens\n"),
    "hostile": Target(_OPERATOR, _hostile),
}
