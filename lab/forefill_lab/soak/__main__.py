"""`python -m forefill_lab.soak`: twenty clients, churn, edits and restarts, and what memory did meanwhile."""

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from forefill_lab.chaos.scene import SIDECARS, Scene, SceneFailed, Unplayable
from forefill_lab.chaos.table import written_into
from forefill_lab.interruption import INTERRUPTED, until_interrupted
from forefill_lab.soak.picture import draw
from forefill_lab.soak.run import PODS, Soak, Stage
from forefill_lab.soak.slope import Slope, slope

MARK = "soak"
PICTURE = "soak.svg"
KB_PER_HOUR = 3600 / 1000


def main(arguments: Sequence[str]) -> int:
    """0 when nothing was over-granted or failed and no process grew; 1 otherwise; 2 for what the user can mend."""
    parser = argparse.ArgumentParser("python -m forefill_lab.soak", description=__doc__)
    parser.add_argument("--minutes", type=_minutes, default=60.0, metavar="M", help="how long (default 60)")
    parser.add_argument("--store", action="store_true", help="two operators that share a Redis or Valkey")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, metavar="FILE", help=f"put the result into it, and {PICTURE} beside it")
    options = parser.parse_args(arguments)
    try:
        soak = asyncio.run(until_interrupted(_run(options)))
    except (SceneFailed, Unplayable) as failed:
        print(f"soak: {failed}", file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        print("soak: interrupted; all its processes have ended", file=sys.stderr)
        return INTERRUPTED
    slopes = {process: slope(soak.second_half(process)) for process in soak.resident}
    told = sentences(soak, slopes)
    print(json.dumps(_document(soak, slopes), indent=2) if options.json else told)
    if options.write:
        draw(soak, slopes, options.write.with_name(PICTURE))
        picture = f"![Memory of an operator and a sidecar over the soak]({PICTURE})"
        text = written_into(options.write.read_text(), f"{told}\n\n{picture}", MARK)
        options.write.write_text(text)
    grown = any(each.verdict == "growing" for each in slopes.values())
    return 1 if soak.over_grant or soak.failures or grown else 0


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 1.0 <= minutes <= 10_080.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes from 1 to 10080, which is a week")
    return minutes


async def _run(options: argparse.Namespace) -> Soak:
    with tempfile.TemporaryDirectory(prefix="forefill-soak-") as folder:
        scene = Scene(Path(folder), store=options.store)
        stage = Stage(scene, options.minutes * 60.0, random.Random(options.seed))
        told = [0]

        def progress(seconds: float) -> None:
            if int(seconds // 60) > told[0]:
                told[0] = int(seconds // 60)
                last = ", ".join(f"{name} {s[-1].value / 1e6:.1f} MB" for name, s in stage.soak.resident.items())
                over = f"over-grant {stage.soak.over_grant:g}"
                print(f"{told[0]} of {options.minutes:g} minutes: {last}, {over}", flush=True, file=sys.stderr)

        try:
            return await stage.play(progress)
        finally:
            await scene.tear_down()


def sentences(soak: Soak, slopes: Mapping[str, Slope]) -> str:
    """For people and for docs/reliability.md."""
    lines = [
        f"{soak.seconds / 60:g} minutes with {len(SIDECARS)} sidecars and {PODS} simulated ones: {soak.joins} pods "
        f"joined, {soak.edits} policy edits, {len(soak.restarts)} operators killed. Over-grant {soak.over_grant:g} "
        f"tokens/s; {sum(soak.failures.values())} of {soak.requests:,} requests failed by us. Memory over the second "
        "half, with its 95 % interval:",
        "",
        "| process | at the end | slope, KB an hour | verdict |",
        "| --- | ---: | ---: | --- |",
    ]
    for process, each in slopes.items():
        end, low, high = soak.resident[process][-1].value / 1e6, each.low * KB_PER_HOUR, each.high * KB_PER_HOUR
        rate = f"{each.mean * KB_PER_HOUR:.0f} ({low:.0f} to {high:.0f})"
        lines.append(f"| {process} | {end:.1f} MB | {rate} | {each.verdict} |")
    return "\n".join(lines)


def _document(soak: Soak, slopes: Mapping[str, Slope]) -> dict[str, object]:
    return {
        "minutes": soak.seconds / 60,
        "over_grant": soak.over_grant,
        "requests": soak.requests,
        "failed": soak.failures,
        "joined": soak.joins,
        "edits": soak.edits,
        "processes": {
            process: {
                "bytes": soak.resident[process][-1].value,
                "bytes_per_hour": [bound * 3600 if math.isfinite(bound) else None for bound in (s.mean, s.low, s.high)],
                "verdict": s.verdict,
            }
            for process, s in slopes.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
