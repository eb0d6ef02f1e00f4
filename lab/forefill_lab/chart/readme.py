"""`python -m forefill_lab.chart.readme [--check]`: writes the chart's README from the comments of its values.yaml."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[3] / "charts" / "forefill"
_LINE = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z]\w*):(?: .*)?")
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


@dataclass(frozen=True)
class Value:
    """One setting: its dotted path, its default as JSON, and the comment above it."""

    path: str
    default: str
    meaning: str


def documented(text: str) -> Iterator[Value]:
    """Every setting of a values.yaml. A map whose members have comments is a group, any other is one setting."""
    comments = dict(_commented(text))
    parsed = yaml.safe_load(text)
    for path, comment in comments.items():
        group = any(other[: len(path)] == path and comments[other] for other in comments if other != path)
        inside = any(path[:depth] in comments and comments[path[:depth]] for depth in range(1, len(path)))
        if not group and (comment or not inside):
            yield Value(".".join(path), json.dumps(_at(parsed, path), ensure_ascii=False), comment)


def _commented(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path of each key with the comment that stands right above it."""
    path: tuple[str, ...] = ()
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().lstrip("# "))
            continue
        if found := _LINE.fullmatch(line):
            path = (*path[: len(found["indent"]) // 2], found["name"])
            yield path, " ".join(comment)
        comment = []


def _at(parsed: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        parsed = parsed[name]
    return parsed


def table(text: str) -> str:
    rows = [f"| `{value.path}` | `{value.default}` | {value.meaning} |" for value in documented(text)]
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *rows])


def render(readme: str, values: str) -> str:
    """`readme` with the table between its two marks made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(values)}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m forefill_lab.chart.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 when it is out of date")
    options = parser.parse_args()
    path = CHART / "README.md"
    made = render(path.read_text(), (CHART / "values.yaml").read_text())
    if options.check:
        current = made == path.read_text()
        print(f"{path.name} is {'current' if current else 'out of date: make chart'}", file=sys.stderr)
        return 0 if current else 1
    path.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
