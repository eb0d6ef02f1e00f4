"""Writes down what clients report, so that `forefill simulate --record` can replay it under another policy."""

import csv
import time
from pathlib import Path

from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_protocol.messages import Report

COLUMNS = ("time", "policy", "client", "window_seconds", "offered", "admitted", "refused", "backlog")


class RecordingController(Controller):
    """A controller that appends a line for each entry of a report: Unix seconds, names, seconds and tokens.

    Raises OSError when the file can't be opened.
    """

    def __init__(self, path: Path, *, first_start: bool = False) -> None:
        super().__init__(first_start=first_start)
        self._file = path.open("a", buffering=1, newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self._file.tell() == 0:
            self._writer.writerow(COLUMNS)

    def report(self, client: Client, report: Report, now: float) -> Deliveries:
        wall_time = round(time.time(), 3)
        self._writer.writerows(
            (wall_time, e.policy, client.name, e.window_seconds, e.offered, e.admitted, e.refused, e.backlog)
            for e in report.entries
        )
        return super().report(client, report, now)

    def close(self) -> None:
        self._file.close()
