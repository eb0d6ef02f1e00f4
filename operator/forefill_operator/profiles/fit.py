"""The fit process: reads workloads from standard input, writes what it found to standard output, and ends.

python -m forefill_operator.profiles.fit < TASKS > FITS
"""

import os
import resource
import sys
from itertools import groupby
from math import isnan
from typing import TYPE_CHECKING

from forefill_operator.profiles import audit
from forefill_operator.profiles.audit import Coefficients
from forefill_operator.profiles.models import Course
from forefill_operator.profiles.past import Fitted
from forefill_operator.profiles.tasks import LEAST_WINDOWS, Task, decode_tasks, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of data, of which a fit takes 280 MB; the libraries' code comes on top.
MEMORY_BYTES = 512 << 20
# Of processor time; fits of one workload take two seconds.
CPU_SECONDS, TASK_CPU_SECONDS = 60, 30
NICENESS = 5
# Fits are made to so many windows: six hours of ten seconds.
FITTED_WINDOWS = 2160
NOT_INSTALLED = 3


def main() -> int:
    """Exit status 0; NOT_INSTALLED when statsmodels is not there."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    tasks = decode_tasks(sys.stdin.buffer.read())
    seconds = CPU_SECONDS + TASK_CPU_SECONDS * len(tasks)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        found = [fit(task) for task in tasks]
    except ModuleNotFoundError as missing:
        print(f"{missing.name} is not installed", file=sys.stderr)
        return NOT_INSTALLED
    sys.stdout.buffer.write(encode(found))
    return 0


def fit(task: Task) -> Fitted:
    """Candidates are fitted to the earlier part of the history; the one that errs least in the later part is kept."""
    rates, told = task.stretch()
    course = Course(list(rates), task.second_of_week, task.interval)
    chosen = _chosen(course)
    skills = audit.skills(course, list(told), task.used, chosen)
    ar, ma = (list(chosen.ar), list(chosen.ma)) if chosen else ([], [])
    return Fitted(ar, ma, skills, audit.best(skills, task.used))


def _chosen(course: Course) -> Coefficients | None:
    values = longest(course.rates[: audit.audited_from(len(course.rates))])[-FITTED_WINDOWS:]
    if len(values) < LEAST_WINDOWS or max(values) <= min(values):
        return None
    from forefill_operator.profiles.candidates import candidates

    found = list(candidates(values))
    return min(found, key=lambda each: audit.error(course.rates, each.run(course)), default=None)


def longest(rates: "Sequence[float]") -> list[float]:
    """The longest run of windows that were all measured."""
    runs = [list(run) for is_gap, run in groupby(rates, key=isnan) if not is_gap]
    return max(runs, key=len, default=[])


if __name__ == "__main__":
    sys.exit(main())
