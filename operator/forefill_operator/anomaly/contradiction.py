"""What a client reports against what the upstream itself counted of it."""

# The upstream may count so many times more, or less: calls that failed, windows that lie otherwise, rounding.
MORE, LESS = 1.3, 1.5
# And this share of the policy's max beside it.
SLACK = 0.01
# Measurements in a row.
STRIKES = 3


def contradicts(admitted: float, measured: float, max_rate: float) -> bool:
    """Rates in tokens/s: `admitted` as reported lately, `measured` at the upstream."""
    slack = SLACK * max_rate
    return measured > MORE * admitted + slack or admitted > LESS * measured + slack


def sentence(admitted: float, measured: float, strikes: int) -> str:
    return (
        f"it reports {admitted:.4g} tokens/s admitted where the upstream counted {measured:.4g}, "
        f"{strikes} measurements in a row"
    )
