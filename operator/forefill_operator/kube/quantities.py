"""Kubernetes quantities such as 10m and 64Mi, as numbers."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS = {
    "": Decimal(1), "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}  # fmt: skip


def parse(text: str) -> Decimal:
    """Cores or bytes. Raises ValueError, whose text says what is allowed."""
    found = _QUANTITY.fullmatch(text)
    value = Decimal(found[1]) * _FACTORS[found[2] or ""] if found else Decimal(0)
    if value <= 0:
        raise ValueError("a quantity above 0, such as 50m or 64Mi, is expected")
    return value
