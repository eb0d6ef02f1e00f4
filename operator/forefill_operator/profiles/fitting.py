"""Runs the fit process, and bounds what it may take."""

import asyncio
import os
import sys
from collections.abc import Sequence

from forefill_operator.profiles.past import Fitted
from forefill_operator.profiles.tasks import Task, decode_fits, encode
from forefill_protocol.codec import UNREADABLE

MODULE = "forefill_operator.profiles.fit"
# It takes a second or two and two a workload, and many times that on a busy machine. It bounds its processor time.
PATIENCE_SECONDS = 900.0
# Nobody would read more of what went wrong.
MOST_WORDS = 300


class FitFailed(Exception):
    """One sentence why."""


async def fit(tasks: Sequence[Task]) -> list[Fitted]:
    """What each task gave, in their order. Raises FitFailed.

    The process has ended when this returns or is cancelled.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
    except OSError as error:
        raise FitFailed(f"the fit can't be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer, errors = await process.communicate(encode(list(tasks)))
    except TimeoutError:
        raise FitFailed(f"the fit took more than {PATIENCE_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise FitFailed(f"the fit ended with status {process.returncode}: {_last_line(errors)}")
    return _decoded(answer, len(tasks))


def _decoded(answer: bytes, count: int) -> list[Fitted]:
    try:
        found = decode_fits(answer)
    except UNREADABLE as error:
        raise FitFailed(f"the fit's answer can't be read: {error}") from None
    if len(found) != count:
        raise FitFailed(f"the fit answered {len(found)} of {count} workloads")
    return found


def _last_line(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1][:MOST_WORDS] if lines else "it said nothing"
