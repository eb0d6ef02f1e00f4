"""What the person at the terminal sees: the step, how long it takes, and that it is alive."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(slots=True)
class Progress:
    """Prints one line when a step begins, beats or ends; remembers the seconds each step took."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    started_at: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)

    def say(self, text: str) -> None:
        elapsed = time.monotonic() - self.started_at
        print(f"[{elapsed:6.1f} s] {text}", file=self.stream, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.say(f"{name} …")
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        self.steps.append((name, seconds))
        self.say(f"{name}: done in {seconds:.1f} s")

    def summary(self) -> str:
        """Seconds by step, longest names first aligned, one step a line."""
        width = max((len(name) for name, _ in self.steps), default=0)
        return "\n".join(f"  {name:<{width}}  {seconds:7.1f} s" for name, seconds in self.steps)
