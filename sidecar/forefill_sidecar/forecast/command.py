"""`forefill forecast`: what the sidecar would have forecast for a recorded series, strictly online."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from forefill_sidecar import scoring
from forefill_sidecar.forecast import MODELS, table
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import DAY_SECONDS, Season
from forefill_sidecar.forecast.table import Table, Unusable
from forefill_sidecar.scoring import Scored

HORIZON = 3
HEADER = ("step", "horizon", "mean", "p50", "p90", "p95", "actual")
DESCRIPTION = """\
Forecasts each value of a CSV column from the values before it, one row a step and horizon 1 to 3:
step (the row, counted from 0, whose value is `actual`), horizon (made so many windows before), mean, p50, p90, p95,
actual. No row uses a value at or after its own step. Values are taken as one a window and their unit passes through:
tokens a window give forecasts in tokens a window. A row left out is a gap when stamps tell (--time-column): nothing
is forecast from it, scored for it or learned from it, and horizons count the windows that passed. Blank lines are no
rows."""


class BadArgument(ValueError):
    """One sentence that names the argument, its value and what is allowed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadArgument(message)


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 2 with one sentence on standard error when the input or an argument can't be used."""
    try:
        options = _parser().parse_args(arguments)
        _check(options)
        rows = _forecast(_read(options), options)
        _write(options.out, rows)
        if options.plot:
            _plot(rows, options)
    except OSError as error:
        return _refuse(f"{error.filename}: {(error.strerror or str(error)).lower()}")
    except (BadArgument, Unusable) as error:
        return _refuse(str(error))
    return 0


def _refuse(sentence: str) -> int:
    print(f"forefill forecast: {sentence}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="forefill forecast", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, required=True, metavar="FILE.csv", help="its first line names columns")
    parser.add_argument("--column", required=True, metavar="C", help="the column of values: finite, 0 or more")
    parser.add_argument("--interval", type=float, required=True, metavar="S", help="seconds from row to row")
    parser.add_argument("--model", default="Ensemble", metavar="M", help=f"{', '.join(MODELS)} (default: Ensemble)")
    parser.add_argument("--out", type=Path, required=True, metavar="PREDICTIONS.csv", help="where forecasts go")
    parser.add_argument(
        "--time-column",
        metavar="T",
        help="ISO 8601 stamps, in UTC unless they say otherwise, S apart or a multiple of it, within a tenth of S "
        "(default: the first row is Monday 00:00 UTC and none is missing)",
    )
    parser.add_argument("--plot", type=Path, metavar="OUT.png|svg", help="also draw the last 600 rows (matplotlib)")
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.model not in MODELS:
        raise BadArgument(f"--model is {options.model!r}; choose one of {', '.join(MODELS)}")
    if not 0.0 < options.interval <= DAY_SECONDS:
        raise BadArgument(f"--interval is {options.interval:g}; it must be above 0 and at most {DAY_SECONDS:g} seconds")
    for name in ("out", "plot"):
        path = getattr(options, name)
        if path and path.resolve() == options.input.resolve():
            raise BadArgument(f"--{name} is the input file itself; name another")
    if options.plot and options.plot.suffix not in (".png", ".svg"):
        raise BadArgument(f"--plot is {str(options.plot)!r}; it must end in .png or .svg")


def _read(options: argparse.Namespace) -> Table:
    try:
        with options.input.open(newline="", encoding="utf-8-sig") as lines:
            return table.read(lines, options.column, options.interval, options.time_column)
    except UnicodeDecodeError:
        raise Unusable(f"{options.input} is not UTF-8 text") from None
    except Unusable as error:
        raise Unusable(f"{options.input}: {error}") from None


def _forecast(past: Table, options: argparse.Namespace) -> list[Scored]:
    predictor = Predictor(options.model, HORIZON, Season(options.interval, past.second_of_week))
    return list(scoring.progressive_validation(predictor, past.windows))


def _write(path: Path, rows: Sequence[Scored]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for step, horizon, made, actual in rows:
            writer.writerow((step, horizon, made.mean, made.p50, made.p90, made.p95, actual))


def _plot(rows: Sequence[Scored], options: argparse.Namespace) -> None:
    from forefill_sidecar.forecast import plot

    try:
        plot.draw(rows, options.plot, f"{options.input.name}: {options.column} every {options.interval:g} s")
    except ModuleNotFoundError as missing:
        raise BadArgument(
            f"--plot needs {missing.name}, which is not installed; the forecasts are in {options.out}"
        ) from None
