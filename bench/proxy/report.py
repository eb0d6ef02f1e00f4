"""The measured rounds as Markdown tables, with the ratios that the budgets name."""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

BEGIN, END = "<!-- proxy: begin -->", "<!-- proxy: end -->"


@dataclass(frozen=True)
class Scenario:
    name: str
    body_bytes: int
    connections: int
    is_kept_alive: bool
    is_limited: bool
    is_traced: bool = False


@dataclass(frozen=True)
class Round:
    """CPU is the proxy's, per request; memory that of all its processes."""

    per_second: float
    cpu_microseconds: float
    idle_bytes: int
    loaded_bytes: int
    failed: int


@dataclass
class Results:
    names: list[str]
    rounds: dict[Scenario, dict[str, list[Round]]] = field(default_factory=dict)
    latencies: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, scenario: Scenario, name: str, measured: Round) -> None:
        self.rounds.setdefault(scenario, {}).setdefault(name, []).append(measured)

    def half_load(self) -> float:
        """Half of what the slowest kept up with, flat out; 2,000/s where nothing was measured flat out."""
        for scenario, by_name in self.rounds.items():
            if scenario.body_bytes == 1024 and scenario.connections == 64 and not scenario.is_limited:
                return min(median(each.per_second for each in rounds) for rounds in by_name.values()) / 2.0
        return 2000.0

    def add_latency(self, name: str, p50: float, p99: float) -> None:
        self.latencies.setdefault(name, []).append((p50, p99))


def at(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def render(results: Results, rounds: int, seconds: int) -> str:
    lines = [
        f"Measured with `python -m bench.proxy --rounds {rounds} --seconds {seconds}` on {_machine()}.",
        "Each proxy has one core to itself, load and upstream share another; rounds take turns;",
        "figures are medians, [least..most].",
        "",
    ]
    for scenario, by_name in results.rounds.items():
        lines += _scenario_table(scenario, by_name)
    if results.latencies:
        lines += _latency_table(results)
    return "\n".join(lines)


def _scenario_table(scenario: Scenario, by_name: dict[str, list[Round]]) -> list[str]:
    ours = median(each.per_second for each in by_name["Forefill"])
    lines = [
        f"**{scenario.name}**",
        "",
        "| proxy | requests/s | Forefill's ratio | CPU us a request | RSS idle, loaded MB | failed |",
        "|---|---|---|---|---|---|",
    ]
    for name, rounds in by_name.items():
        speeds = sorted(each.per_second for each in rounds)
        lines.append(
            f"| {name} | {median(speeds):,.0f} [{speeds[0]:,.0f}..{speeds[-1]:,.0f}] | {ours / median(speeds):.2f} "
            f"| {median(each.cpu_microseconds for each in rounds):.1f} "
            f"| {median(each.idle_bytes for each in rounds) / 1e6:.0f}, "
            f"{median(each.loaded_bytes for each in rounds) / 1e6:.0f} | {sum(each.failed for each in rounds)} |"
        )
    return [*lines, ""]


def _latency_table(results: Results) -> list[str]:
    lines = [
        f"**Latency added at a constant rate of {results.half_load():,.0f}/s, half of what the slowest can, 1 KB** "
        "(32 connections; to the direct median)",
        "",
        "| proxy | p50 us | p99 us |",
        "|---|---|---|",
    ]
    for name, pairs in results.latencies.items():
        p50, p99 = (median(pair[index] for pair in pairs) * 1e6 for index in (0, 1))
        lines.append(f"| {name} | {p50:.0f} | {p99:.0f} |")
    return [*lines, ""]


def _machine() -> str:
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores of {_processor()}, Linux {kernel}, Python {platform.python_version()}"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.machine()


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the marks, or add them at the end."""
    put_between(path, BEGIN, END, "## The data plane beside other proxies", text)


def put_between(path: Path, begin: str, end: str, heading: str, text: str) -> None:
    page = path.read_text() if path.exists() else "# Benchmarks\n"
    block = f"{begin}\n{heading}\n\n{text}\n{end}"
    if begin in page:
        page = page[: page.index(begin)] + block + page[page.index(end) + len(end) :]
    else:
        page = f"{page.rstrip()}\n\n{block}\n"
    path.write_text(page)
