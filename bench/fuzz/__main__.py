"""Fuzzes both parsers with atheris: `python -m bench.fuzz request|response [-max_total_time=60 ...]` (libFuzzer's).

Needs `pip install atheris`. A crash leaves its input in the working directory.
"""

import sys


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in ("request", "response"):
        print("the first argument has to be request or response", file=sys.stderr)
        return 2
    try:
        import atheris
    except ImportError:
        print("atheris is missing: pip install atheris", file=sys.stderr)
        return 2
    # What is imported in here tells the fuzzer which of its lines an input reaches.
    with atheris.instrument_imports(include=["forefill_sidecar.proxy"]):
        from bench.fuzz import agreement
    target = agreement.request if sys.argv[1] == "request" else agreement.response
    start = b"GET / HTTP/1.1\r\nHost: a\r\n" if sys.argv[1] == "request" else b"HTTP/1.1 200 OK\r\n"

    def one(data: bytes) -> None:
        # Half of the inputs begin well, so that the fields and the body get their share of attention.
        target(start + data[1:] if data[:1] < b"\x80" else data[1:])

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
