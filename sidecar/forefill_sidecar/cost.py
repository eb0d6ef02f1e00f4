"""How many tokens a request costs. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from forefill_protocol.messages import CostSettings

MAX_COST: Final = 1e12
_NUMBER: Final = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class CostRule:
    """The cost settings of a policy, made ready for each request. `header` is lower case, empty for none."""

    default: float
    header: bytes

    def reserve(self, fields: dict[bytes, bytes]) -> float:
        """Tokens to reserve; `fields` maps lower-case names to lines as sent. What is no number counts as not there."""
        line = fields.get(self.header)
        if line is None:
            return self.default
        value = line[len(self.header) + 1 :].strip(b" \t")
        return float(value) if _NUMBER.fullmatch(value) else self.default


def rule(settings: CostSettings) -> CostRule:
    return CostRule(default=settings.default, header=settings.header.lower().encode())
