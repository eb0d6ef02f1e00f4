"""`python -m forefill_lab.chaos`: play every fault, one after the other, and say what came of it."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from forefill_lab.chaos.environment import FAULTS as ENVIRONMENT
from forefill_lab.chaos.faults import FAULTS as PROCESSES
from forefill_lab.chaos.faults import Fault
from forefill_lab.chaos.scene import INTERVAL_SECONDS, LEASE_SECONDS, Scene, SceneFailed, Unplayable
from forefill_lab.chaos.table import Outcome, markdown, written_into
from forefill_lab.chaos.watch import Watch
from forefill_lab.interruption import INTERRUPTED, until_interrupted

FAULTS = (*PROCESSES, *ENVIRONMENT)
# Before the fault everything must be whole; after it, it must be so within this time.
SETTLE_SECONDS, RECOVER_SECONDS = 40.0, 40.0
# What an operator learns after a start it knows after a lease: only then is calm a sign of health.
LEARNT_SECONDS = LEASE_SECONDS + 2 * INTERVAL_SECONDS
ROW_SECONDS = 150.0


def main(arguments: Sequence[str]) -> int:
    """0 when nothing was given twice, failed by us or stayed broken; 1 otherwise; 2 for what the user can mend."""
    parser = argparse.ArgumentParser("python -m forefill_lab.chaos", description=__doc__)
    parser.add_argument("--only", metavar="WORD", help="faults whose name holds it")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    options = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.only or options.only in fault.name]
    if not chosen:
        print(f"chaos: no fault's name holds {options.only!r}", file=sys.stderr)
        return 2
    try:
        outcomes = asyncio.run(until_interrupted(_play_all(chosen)))
    except asyncio.CancelledError:
        print("chaos: interrupted; all its processes have ended", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps([asdict(each) for each in outcomes], indent=2) if options.json else markdown(outcomes))
    if options.write:
        options.write.write_text(written_into(options.write.read_text(), markdown(outcomes)))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


async def _play_all(faults: Sequence[Fault]) -> list[Outcome]:
    outcomes = []
    for number, fault in enumerate(faults, start=1):
        print(f"[{number}/{len(faults)}] {fault.name}", end=" ", flush=True, file=sys.stderr)
        outcome = await _play(fault)
        verdict = f"not played: {outcome.skipped}" if outcome.skipped else "as promised" if outcome.passed else "BROKEN"
        print(f"… {verdict} {outcome.notes}", file=sys.stderr)
        outcomes.append(outcome)
    return outcomes


async def _play(fault: Fault) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="forefill-chaos-") as folder:
        scene = Scene(Path(folder), store=fault.store)
        watch = Watch(scene)
        try:
            async with asyncio.timeout(ROW_SECONDS):
                return await _played(fault, scene, watch)
        except Unplayable as reason:
            return Outcome(fault.name, fault.seen, skipped=str(reason))
        except (SceneFailed, TimeoutError) as failed:
            return Outcome(fault.name, fault.seen, notes=str(failed) or "took too long")
        finally:
            await watch.stop()
            if fault.clean_up:
                await fault.clean_up(scene)
            await scene.tear_down()


async def _played(fault: Fault, scene: Scene, watch: Watch) -> Outcome:
    await (fault.prepare or Scene.set_up)(scene)
    watch.start()
    if not await watch.until_whole(SETTLE_SECONDS):
        raise SceneFailed("the sidecars did not get their grants before the fault")
    moment = await fault.play(scene, watch)
    await asyncio.sleep(LEARNT_SECONDS)
    await watch.until_whole(RECOVER_SECONDS)
    failed = {key: count for key, count in watch.failures.items() if key[0] not in fault.spared}
    return Outcome(
        fault=fault.name,
        seen=fault.seen,
        over_grant=round(watch.over_grant, 6),
        failed=sum(failed.values()),
        spared=sum(watch.failures.values()) - sum(failed.values()),
        requests=watch.requests,
        recovered=watch.recovered_after(moment),
        notes=", ".join(f"{name} {kind} x{count}" for (name, kind), count in failed.items()),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
