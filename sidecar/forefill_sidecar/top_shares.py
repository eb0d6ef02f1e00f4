"""Shares of a total by name, for the commonest names only: Space-Saving (Metwally, Agrawal and El Abbadi 2005)."""

from collections.abc import Mapping

from forefill_sidecar.forecast.snapshot import Plain

REST = ""
LONGEST_NAME = 256


class TopShares:
    """Weights of at most `places` names. A new name takes the place of the lightest and inherits its weight.

    So a weight is never below the truth, and above it by no more than the lightest weight kept; what was inherited
    is known and counts for the rest, not for the name.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._weights: dict[str, float] = {}
        self._inherited: dict[str, float] = {}

    def add(self, name: str, weight: float) -> None:
        name = name[:LONGEST_NAME]
        if name not in self._weights and len(self._weights) >= self._places:
            self._replace(name)
        self._weights[name] = self._weights.get(name, 0.0) + weight

    def _replace(self, name: str) -> None:
        lightest = min(self._weights, key=self._weights.__getitem__)
        self._inherited.pop(lightest, None)
        self._weights[name] = self._inherited[name] = self._weights.pop(lightest)

    def shares(self) -> Mapping[str, float]:
        """Share of the total by name, largest first; what can't be named together under REST. Empty without any."""
        total = sum(self._weights.values())
        if total <= 0.0:
            return {}
        sure = {name: weight - self._inherited.get(name, 0.0) for name, weight in self._weights.items()}
        named = {name: weight / total for name, weight in sorted(sure.items(), key=lambda each: -each[1]) if weight > 0}
        rest = 1.0 - sum(named.values())
        return named | {REST: rest} if rest > 1e-9 else named

    def encode(self) -> Plain:
        return [[name, weight, self._inherited.get(name, 0.0)] for name, weight in self._weights.items()]

    @classmethod
    def decode(cls, plain: Plain, places: int) -> "TopShares":
        """ValueError when it is not a list of at most `places` names, each with two finite weights."""
        if not isinstance(plain, list) or len(plain) > places:
            raise ValueError(f"the shares are not a list of at most {places} names")
        top = cls(places)
        for entry in plain:
            if not _sound(entry) or entry[0] in top._weights:
                raise ValueError(f"the shares hold {entry!r}, which is not a new name with two weights")
            top._weights[entry[0]] = float(entry[1])
            if entry[2] > 0.0:
                top._inherited[entry[0]] = float(entry[2])
        return top


def _sound(entry: Plain) -> bool:
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str):
        return False
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in entry[1:])
    return numbers and 0.0 <= entry[2] <= entry[1] < float("inf") and len(entry[0]) <= LONGEST_NAME
