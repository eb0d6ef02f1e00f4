"""Fuzzes with atheris: `python -m bench.fuzz TARGET [-max_total_time=60 ...]` (libFuzzer's), or `all SECONDS` for each.

Needs `pip install atheris`. A crash leaves its input in the working directory.
"""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


def main() -> int:
    if len(sys.argv) == 3 and sys.argv[1] == "all" and sys.argv[2].isdecimal():
        return _all(int(sys.argv[2]))
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"the first argument has to be one of {', '.join(TARGETS)}, or all and SECONDS", file=sys.stderr)
        return 2
    try:
        import atheris
    except ImportError:
        print("atheris is missing: pip install atheris", file=sys.stderr)
        return 2
    # What is refused is logged, a hundred thousand times a second.
    logging.getLogger("forefill").setLevel(logging.CRITICAL)
    target = TARGETS[sys.argv[1]]
    with atheris.instrument_imports(include=target.packages):
        judge = target.load()

    def one(data: bytes) -> None:
        # Half of the inputs begin well, so that what comes after it gets its share of attention.
        judge(target.start + data[1:] if data[:1] < b"\x80" else data[1:])

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()
    return 0


def _all(seconds: int) -> int:
    """Every target for so long, each in a process of its own; 1 when one of them found something."""
    broken = []
    for name in TARGETS:
        with tempfile.TemporaryDirectory(prefix="forefill-fuzz-") as corpus:
            command = [
                sys.executable,
                "-m",
                "bench.fuzz",
                name,
                corpus,
                f"-max_total_time={seconds}",
                "-rss_limit_mb=2000",
            ]
            run = subprocess.run(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
        print(f"{name:12} {'clean' if run.returncode == 0 else 'BROKEN'}", flush=True)
        if run.returncode:
            print("\n".join(run.stdout.splitlines()[-30:]))
            broken.append(name)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
