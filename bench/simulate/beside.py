"""Runs beside each other, one a process: each is the same whichever process it is in."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(run: Callable[[Job], Result], jobs: Iterable[Job], processes: int) -> Iterator[Result]:
    """Results in the order of the jobs, each as soon as it and those before it are there."""
    if processes <= 1:
        yield from map(run, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run, jobs)
