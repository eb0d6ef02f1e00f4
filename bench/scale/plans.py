"""How long one plan takes and how much memory a client takes, for a policy served without any stream."""

import ctypes
import gc
import random
import statistics
import sys
import time
from dataclasses import dataclass

import psutil

from forefill_operator import schema
from forefill_operator.book import Book
from forefill_operator.client import Client
from forefill_operator.envelope import Envelope
from forefill_operator.learning import Learning
from forefill_operator.ledger import Ledger
from forefill_operator.policy import parse_policy
from forefill_protocol.messages import Forecast, Holding, PolicyReport

INTERVAL_SECONDS = 10.0
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Planned:
    clients: int
    milliseconds: float
    ledger_kilobytes: float
    kilobytes_a_client: float


def measure(clients: int) -> Planned:
    """The median plan of `clients` that all have reported twice, and what each added to this process."""
    ledger = _ledger(clients)
    now, before = 1000.0, _resident()
    book = Book(parse_policy(schema.complete(_manifest(clients))), Learning(), now)
    dice = random.Random(1)
    for number in range(clients):
        book.hello(Client("bench", "default", f"pod-{number}", f"uid-{number}"), Holding(policy="bench/p"), now)
    for sequence in (1, 2):
        for number, member in enumerate(list(book.members.values())):
            now += INTERVAL_SECONDS / clients
            book.report(member.client, _entry(dice, member.sequence, number), sequence, True, now)
    added = _resident() - before
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        book.replan(now)
        took.append(time.perf_counter() - began)
    return Planned(clients, 1e3 * statistics.median(took), ledger, added / 1e3 / clients)


def _ledger(clients: int) -> float:
    """KB of a client's account alone, with a grant in force and one that is not acknowledged yet."""
    before, now, ledger = _resident(), 1000.0, Ledger()
    for number in range(clients):
        uid, moment = f"uid-{number}", now + number / clients
        for sequence in (1, 2):
            rate = 1.0 + number * sequence
            ledger.issue(uid, Envelope(sequence, rate, moment + 12.0, rate / 2, moment + 30.0, rate / 2, 2 * rate), now)
    added = _resident() - before
    assert len(ledger.accounts) == clients
    return added / 1e3 / clients


def _manifest(clients: int) -> dict[str, object]:
    most = 20.0 * clients
    return {
        "apiVersion": "forefill.io/v1alpha1",
        "kind": "TokenPolicy",
        "metadata": {"namespace": "bench", "name": "p", "uid": "uid-of-p", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "upstream": {"url": "http://127.0.0.1:9"},
            "fillRate": {"base": most / 4, "min": most / 4, "max": most},
        },
    }


def _entry(dice: random.Random, grant: int, number: int) -> PolicyReport:
    rate = dice.lognormvariate(1.0, 1.0)
    offered = rate * INTERVAL_SECONDS
    # One in twenty has to wait.
    backlog = rate if number % 20 == 0 else 0.0
    forecasts = [Forecast(mean=rate, p50=0.95 * rate, p90=1.4 * rate, p95=1.6 * rate)] * 3
    return PolicyReport("bench/p", INTERVAL_SECONDS, offered, offered - backlog, 0.0, backlog, int(offered) + 1,
                        forecasts=forecasts, grant_sequence=grant, policy_generation=1)  # fmt: skip


def _resident() -> float:
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return float(psutil.Process().memory_info().rss)
