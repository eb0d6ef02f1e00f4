"""Cases that others published, read from their own checkouts: h1spec's table and llhttp's Markdown."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

_H1SPEC_CASE = re.compile(
    r'request:\s*"((?:[^"\\]|\\.)*)",\s*description:\s*"([^"]*)",\s*expectedStatus:\s*(\[\[.*?\]\])'
    r"(,\s*expectedTimeout:\s*true)?",
    re.DOTALL,
)
_LLHTTP_CASE = re.compile(
    r"^(#+) (.+?)\n(?:(?!^#).)*?<!-- meta=(\{.*?\}) -->\s*```http\n(.*?)```\s*```log\n(.*?)```",
    re.DOTALL | re.MULTILINE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([rntf]))")
# llhttp hands an upgraded connection over by stopping, which is no fault of the request's.
_NO_FAULT = re.compile(r"error code=(21|22|23) ")
# Data after a last message is a fault to llhttp; a proxy may as well answer the message and read nothing more.
_AFTER_THE_LAST = "error code=5 "
_LETTERS = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}


@dataclass(frozen=True)
class Case:
    """`is_refused` is what its authors expect; `statuses`, where they say, which ranges they allow."""

    suite: str
    name: str
    data: bytes
    is_request: bool
    is_refused: bool
    is_incomplete: bool = False
    has_more_after_the_last: bool = False
    statuses: tuple[tuple[int, int], ...] = ()


def h1spec(path: Path) -> list[Case]:
    """`http_test.ts` of uNetworking/h1spec."""
    cases = []
    for text, name, ranges, timeout in _H1SPEC_CASE.findall(path.read_text()):
        statuses = tuple((low, high) for low, high in json.loads(ranges))
        is_refused = all(low >= 400 for low, _ in statuses)
        cases.append(Case("h1spec", name, _unescaped(text), True, is_refused, bool(timeout), False, statuses))
    return cases


def llhttp(folder: Path) -> list[Case]:
    """`test/` of nodejs/llhttp. Its lenient modes and its pauses are its own, and are left out."""
    cases = []
    for path in sorted([*folder.glob("request/*.md"), *folder.glob("response/*.md")]):
        for _, name, meta, text, log in _LLHTTP_CASE.findall(path.read_text()):
            described = json.loads(meta)
            kind = described.get("type", "")
            if kind not in ("request", "response") or described.get("pause") or "${" in text:
                continue
            data = _unescaped(text.removesuffix("\n").replace("\\\n", "").replace("\n", "\r\n"))
            is_request = kind == "request"
            cut = _AFTER_THE_LAST in log
            cases.append(
                Case(
                    suite=f"llhttp {path.parent.name}/{path.stem}",
                    name=name.split("\n")[0],
                    data=_with_host(data) if is_request else data,
                    is_request=is_request,
                    is_refused="error code=" in log and not _NO_FAULT.search(log) and not cut,
                    is_incomplete="message complete" not in log,
                    has_more_after_the_last=cut,
                )
            )
    return cases


def _unescaped(text: str) -> bytes:
    def character(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return chr(int(match[2], 8)) if match[2] else _LETTERS[match[3]]

    return _ESCAPE.sub(character, text).encode("latin-1", "replace")


def _with_host(data: bytes) -> bytes:
    """llhttp leaves it to its callers to miss a Host; what a case is about would go untested here."""
    if re.search(rb"^host[ \t]*:", data, re.IGNORECASE | re.MULTILINE):
        return data
    return re.sub(rb"( HTTP/1\.1\r\n)", rb"\1Host: a\r\n", data)
