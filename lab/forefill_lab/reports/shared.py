"""The store that operators under load share: what it did, by its own account."""

from collections.abc import Mapping
from dataclasses import dataclass

import redis

from forefill_lab.reports.target import BenchFailed


@dataclass(frozen=True, slots=True)
class Work:
    """Since the server began: commands by name, and CPU seconds."""

    commands: Mapping[str, int]
    cpu_seconds: float


def work(url: str) -> Work:
    """Commands inside of scripts count as commands, too. Raises BenchFailed."""
    try:
        with redis.Redis.from_url(url, socket_timeout=5.0) as client:
            cpu, stats = client.info("cpu"), client.info("commandstats")
    except (redis.RedisError, ValueError) as error:
        raise BenchFailed(f"the store {url} does not say what it did: {error}") from None
    commands = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}
    return Work(commands, float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]))


def between(before: Work, after: Work, reports: int) -> dict[str, object]:
    """Per report."""
    done = {name: count - before.commands.get(name, 0) for name, count in after.commands.items() if name != "info"}
    most = sorted(((count, name) for name, count in done.items() if count > 0), reverse=True)
    reports = max(reports, 1)
    return {
        "cpu_microseconds_per_report": round(1e6 * (after.cpu_seconds - before.cpu_seconds) / reports, 1),
        "commands_per_report": round(sum(count for count, _ in most) / reports, 2),
        "commands": {name: round(count / reports, 3) for count, name in most if count >= 0.001 * reports},
    }
