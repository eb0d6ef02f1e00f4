"""Makes the small traces in `data/` from the full ones: `FOREFILL_DATA=FOLDER python -m forefill_lab.demo.extract`."""

import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).parent / "data"

CHAT_BEGIN, CHAT_SECONDS = 1200, 750
SHOP_STEP = 8
JOBS_CLIENT, JOBS_ROWS = 19, 288
# In rows where the client stops, the stop itself was counted as one long gap; between stops gaps vary by about 1.
MOST_VARIATION = 2.0


def chat(folder: Path) -> list[tuple[float, float]]:
    """Arrivals a second; counted, so that nothing about them is left to chance."""
    with (folder / "llm_tokens/AzureLLMInferenceTrace_conv.csv").open() as file:
        # Stamps have seven digits after the second, one more than Python reads.
        stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in csv.DictReader(file)]
    seconds = Counter(int((stamp - stamps[0]).total_seconds()) for stamp in stamps)
    return [(seconds[CHAT_BEGIN + second], 0.0) for second in range(CHAT_SECONDS)]


def shop(folder: Path) -> list[tuple[float, float]]:
    """Averages over SHOP_STEP seconds of a trace that is itself smooth; arrivals around them are taken as Poisson."""
    lines = (folder / "request_rate_1s/autothrottle_bursty.txt").read_text().split()
    rates = [float(line) for line in lines]
    return [(sum(rates[at : at + SHOP_STEP]) / SHOP_STEP, 1.0) for at in range(0, len(rates), SHOP_STEP)]


def jobs(folder: Path) -> list[tuple[float, float]]:
    """Rate and bounded variation of one client as published, a row each ten minutes, for two days."""
    path = folder / f"servegen/data/language/m-small/chunk-{JOBS_CLIENT}-trace.csv"
    with path.open() as file:
        rows = list(csv.reader(file))[:JOBS_ROWS]
    return [(float(rate), min(float(variation), MOST_VARIATION)) for _, rate, variation, *_ in rows]


def write(name: str, rows: Iterable[tuple[float, float]]) -> None:
    lines = [f"{rate:.6g},{variation:.4g}" for rate, variation in rows]
    (HERE / f"{name}.csv").write_text("\n".join(["rate,variation", *lines]) + "\n")


def main() -> int:
    """Exit status 2 when FOREFILL_DATA names no folder with the traces."""
    folder = os.environ.get("FOREFILL_DATA")
    if not folder:
        print("set FOREFILL_DATA to the folder of the full traces", file=sys.stderr)
        return 2
    try:
        for name, read in (("chat", chat), ("shop", shop), ("jobs", jobs)):
            write(name, read(Path(folder)))
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
