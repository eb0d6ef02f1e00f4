"""`forefill bench WHAT`: measurements of a running system, each with progress and one JSON document."""

import importlib
import sys
from collections.abc import Sequence

BENCHES = {"reports": ("forefill_lab.reports.command", "sidecars that one operator serves")}


def main(arguments: Sequence[str]) -> int:
    """Exit status of the named bench; 2 when there is none of that name."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: forefill bench WHAT [ARGUMENTS]\n")
        print("\n".join(f"  {name:<10} {text}" for name, (_, text) in BENCHES.items()))
        return 0 if arguments else 2
    if arguments[0] not in BENCHES:
        print(f"forefill bench: no bench {arguments[0]!r}; choose one of {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    status: int = importlib.import_module(BENCHES[arguments[0]][0]).main(arguments[1:])
    return status
