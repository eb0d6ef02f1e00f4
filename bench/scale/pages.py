"""What was found, as tables for docs/scaling.md and as a picture beside it."""

from collections.abc import Sequence
from pathlib import Path

from bench.scale.law import Law
from bench.scale.plans import Planned
from bench.scale.runs import Reports

INTERVAL_SECONDS = 10


def clients_a_core(cpu_microseconds: float) -> float:
    """How many clients reporting every ten seconds take a whole core."""
    return 1e6 * INTERVAL_SECONDS / cpu_microseconds


def core_part(run: Reports) -> float:
    """Of the core that the operator ran on, at a report every ten seconds."""
    return run.cpu * run.at_ten / (1e6 * INTERVAL_SECONDS)


def sizes(runs: Sequence[Reports], law: Law) -> list[str]:
    rows = [
        f"| {run.clients:,} | {run.interval} | {run.clients / run.interval:,.0f} | {run.cpu:.0f} | "
        f"{clients_a_core(run.cpu):,.0f} | {run.p50:.1f} | {run.p99:.1f} | {run.kilobytes_a_client:.1f} | "
        f"{run.handshake:.2f} | {'yes' if run.is_whole else 'no'} | {run.over_grant:g} |"
        for run in runs
    ]
    return [
        "| clients | a report every, s | reports/s | CPU a report, µs | clients a core at 10 s and that | "
        "answer p50, ms | p99, ms | memory a client, KB | CPU a handshake, ms | all answered | over-grant |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
        *rows,
        "",
        f"An operator spends {1e3 * law.fixed:.1f} thousandths of a core + {1e6 * law.each:.1f} millionths a client: "
        f"{INTERVAL_SECONDS * 1e6 * law.each:.0f} µs a report, {(1.0 - law.fixed) / law.each:,.0f} clients a core "
        "(least squares on relative differences; TLS, decoding, appraisal, plan, ticket, answer and kernel included).",
    ]


def plans(found: Sequence[Planned]) -> list[str]:
    return [
        "| clients of one policy | plan, ms | ledger alone, KB a client | with all that is believed of it, KB |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {each.clients:,} | {each.milliseconds:.1f} | {each.ledger_kilobytes:.1f} | "
            f"{each.kilobytes_a_client:.1f} |"
            for each in found
        ),
    ]


def replicas(runs: Sequence[Reports]) -> list[str]:
    """Each operator gets a core in the reckoning: k operators that spend c a report together serve k / c."""
    one = next(run.cpu for run in runs if run.has_store)
    rows = [
        f"| {run.operators}{'' if run.has_store else ', no store'} | {run.cpu:.0f} | "
        f"{run.operators * clients_a_core(run.cpu):,.0f} | {one / run.cpu:.2f} | {run.p99:.1f} | {run.commands:.1f} | "
        f"{run.store_cpu:.0f} | {'yes' if run.is_whole else 'no'} | {run.over_grant:g} |"
        for run in runs
    ]
    return [
        "| operators | CPU of all a report, µs | clients, a core each | part of linear | answer p99, ms | "
        "commands of the store a report | its CPU, µs | all answered | over-grant |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
        *rows,
    ]


def streams(found: dict[str, float]) -> list[str]:
    return [
        f"Of {found['clients']:,.0f} sidecars: {found['kilobytes_a_stream']:.1f} KB a stream, "
        f"{found['rejoin_cpu_milliseconds']:.2f} ms CPU to come back on a ticket after a restart, handshake and "
        f"answer included: {found['rejoins_per_second_a_core']:,.0f} a second and core."
    ]


def draw(runs: Sequence[Reports], law: Law, planned: Sequence[Planned], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "forefill", "font.size": 9}):
        figure = Figure(figsize=(9.0, 3.0), layout="constrained")
        FigureCanvasSVG(figure)
        left, middle, right = figure.subplots(1, 3)
        counts = [run.at_ten for run in runs]
        left.plot(counts, [core_part(run) for run in runs], "o", label="measured")
        left.plot(counts, [law.at(count) for count in counts], "-", label="a + b n")
        left.set(title="part of a core", xlabel="clients, a report each in 10 s", xscale="log", yscale="log")
        left.legend(frameon=False)
        middle.plot(counts, [run.p50 for run in runs], "o-", label="p50")
        middle.plot(counts, [run.p99 for run in runs], "s-", label="p99")
        middle.axhline(50.0, color="grey", linewidth=0.8, linestyle="--")
        middle.set(title="answer, ms", xlabel="clients, a report each in 10 s", xscale="log", yscale="log")
        middle.legend(frameon=False)
        right.plot([each.clients for each in planned], [each.milliseconds for each in planned], "o-")
        right.set(title="plan, ms", xlabel="clients of one policy", xscale="log", yscale="log")
        figure.savefig(path, metadata={"Date": None})
