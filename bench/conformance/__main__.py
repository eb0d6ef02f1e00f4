"""Published conformance cases against the proxy.

`python -m bench.conformance --h1spec CHECKOUT --llhttp CHECKOUT [--write docs/data-plane.md]`, with checkouts of
https://github.com/uNetworking/h1spec and https://github.com/nodejs/llhttp. Exit status 1 for a deviation that has no
reason below, and for anything sent on that h11 can't read.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from pathlib import Path

import uvloop
from bench.conformance import cases
from bench.conformance.cases import Case
from bench.conformance.proxied import Verdict, judged

BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
AT_ONCE = 16
# Why the proxy deviates, by the case's name or by what the proxy says.
REASONS = (
    ("M-SEARCH", "an asterisk is the target of OPTIONS alone (RFC 9112 §3.2.4)"),
    ("RTSP", "another protocol"),
    ("ICE", "another protocol"),
    ("No HTTP version", "HTTP/0.9"),
    ("Fragment", "a fragment is never sent (RFC 9112 §3.2)"),
    ("basic auth", "a user in a target may not be sent (RFC 9110 §4.2.4)"),
    ("PRI request", "HTTP/2's preface is no HTTP/1.1 request"),
    ("HTTP 100 first", "empty lines may come before a request, not before a response (RFC 9112 §2.2)"),
    ("starting with CRLF", "empty lines may come before a request, not before a response (RFC 9112 §2.2)"),
    ("ANNOUNCE method", "any token is a method (RFC 9110 §9.1); llhttp knows a list"),
    ("Invalid method", "any token is a method (RFC 9110 §9.1); llhttp knows a list"),
    ("CONNECT", "a tunnel would pass traffic uncounted"),
    ("only transfer coding", "the only coding that every receiver reads alike (RFC 9112 §7)"),
    ("Transfer-Encoding is there twice", "receivers differ on lists over several lines"),
    ("nobody asked for", "a switch needs a request for it (RFC 9110 §7.8)"),
    ("where none may be", "RFC 9112 §6.1 forbids it there"),
)


def outcome(case: Case, verdict: Verdict) -> str:
    """One of: agrees, stricter (refused here only), laxer (refused there only), waits (refused there, awaited here)."""
    if verdict.is_refused if case.is_request else 502 in verdict.statuses:
        allowed = any(low <= verdict.statuses[-1] <= high for low, high in case.statuses)
        # A response that isn't complete when its connection closes can't be passed on as one.
        is_cut_off = not case.is_request and case.is_incomplete
        return "agrees" if case.is_refused or allowed or is_cut_off else "stricter"
    if case.has_more_after_the_last:
        return "agrees" if len(verdict.statuses) == 1 else "laxer"
    if not case.is_refused:
        return "agrees"
    return "laxer" if verdict.statuses else "waits"


def render(results: list[tuple[Case, Verdict]]) -> str:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for case, verdict in results:
        counts[case.suite.split()[0]][outcome(case, verdict)] += 1
    lines = [
        "| suite | cases | agrees | stricter | waits for more | laxer | unreadable for h11 |",
        "|---|---|---|---|---|---|---|",
    ]
    for suite, by in counts.items():
        unreadable = sum(bool(verdict.confused) for case, verdict in results if case.suite.split()[0] == suite)
        numbers = [by[each] for each in ("agrees", "stricter", "waits", "laxer")]
        lines.append(f"| {suite} | {sum(by.values())} | {' | '.join(map(str, numbers))} | {unreadable} |")
    lines += ["", "| deviation | case | what the proxy says | why |", "|---|---|---|---|"]
    for case, verdict in results:
        if (kind := outcome(case, verdict)) != "agrees":
            said = verdict.detail or ", ".join(map(str, verdict.statuses)) or "nothing yet"
            lines.append(f"| {kind} | {case.suite}: {case.name.replace('|', '')} | {said} | {reason(case, verdict)} |")
    return "\n".join(lines)


def reason(case: Case, verdict: Verdict) -> str:
    return next((why for words, why in REASONS if words in verdict.detail or words in case.name), "")


async def run(chosen: list[Case]) -> list[tuple[Case, Verdict]]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> tuple[Case, Verdict]:
        async with limit:
            return case, await judged(case)

    return list(await asyncio.gather(*map(one, chosen)))


def put_into(path: Path, text: str) -> None:
    page = path.read_text()
    before, _, rest = page.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.conformance", description=__doc__)
    parser.add_argument("--h1spec", type=Path, metavar="CHECKOUT")
    parser.add_argument("--llhttp", type=Path, metavar="CHECKOUT")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this Markdown file")
    options = parser.parse_args()
    chosen = cases.h1spec(options.h1spec / "http_test.ts") if options.h1spec else []
    chosen += cases.llhttp(options.llhttp / "test") if options.llhttp else []
    if not chosen:
        parser.error("--h1spec or --llhttp has to name a checkout")
    results = uvloop.run(run(chosen))
    text = render(results)
    print(text)
    if options.write:
        put_into(options.write, text)
    unexplained = [
        case for case, verdict in results if outcome(case, verdict) != "agrees" and not reason(case, verdict)
    ]
    return int(bool(unexplained) or any(verdict.confused for _, verdict in results))


if __name__ == "__main__":
    sys.exit(main())
