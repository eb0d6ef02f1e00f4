"""The value of the last window: the yardstick that every other model is measured against."""

from dataclasses import dataclass


@dataclass(slots=True)
class LastValue:
    """Random walk: nothing beats it when demand jumps and stays."""

    value: float = 0.0

    def observe(self, value: float) -> None:
        self.value = value

    def skip(self, windows: int) -> None:
        pass

    def forecast(self, horizon: int) -> list[float]:
        return [self.value] * horizon
