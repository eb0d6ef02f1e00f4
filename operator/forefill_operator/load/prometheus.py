"""Questions to one Prometheus, asked through prometheus_api_client on a few threads of their own."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests
from prometheus_api_client import PrometheusConnect
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from forefill_operator.load.readings import PARTS, Fault, Part, Rates, Reading, rates_of, reading_of
from forefill_operator.load.session import Answered, BasicFile, BearerFile, Session
from forefill_operator.load.sources import PrometheusSource
from forefill_operator.policy import TokenPolicy

# A part is one number; rates of clients are a line each.
PART_BYTES, RATES_BYTES = 256 * 1024, 4 * 1024 * 1024
# A server that failed to answer so many times in a row is left alone for a while, so that no queue of time-outs forms.
AWAY_AFTER, AWAY_SECONDS = 4, 5.0
# Answers of expressions that no policy has any more are dropped after this time.
FORGOTTEN_SECONDS = 600.0

Took = Callable[[float], None]
# The expression and, where the answer names clients, the namespace of those that name none.
Question = tuple[str, str | None]
Answer = Reading | Rates


@dataclass
class _Asked:
    at: float
    answer: "asyncio.Future[Answer]"


class Prometheus:
    """`took` is told the seconds of each query. One expression is asked once, however many policies have it."""

    def __init__(self, source: PrometheusSource, took: Took, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._took = took
        self._clock = clock
        self._parts = _connect(source, PART_BYTES, clock)
        self._rates = _connect(source, RATES_BYTES, clock)
        self._threads = ThreadPoolExecutor(source.connections, "forefill-prometheus")
        self._asked: dict[Question, _Asked] = {}
        self._swept_at = clock()
        self._failures = 0
        self._away: tuple[float, Fault] | None = None

    def allows(self, policy: TokenPolicy) -> bool:
        return self._source.allows(policy.namespace)

    async def read(self, policy: TokenPolicy) -> Mapping[Part, Reading]:
        """The parts for which the policy gives an expression, all asked at once, at most half an interval ago."""
        load, fresh = policy.spec.load, policy.spec.report.interval_seconds / 2
        expressions = {part: text for part in PARTS if (text := getattr(load, part))}
        answers = await asyncio.gather(*(self._ask((text, None), fresh) for text in expressions.values()))
        return {part: answer for part, answer in zip(expressions, answers, strict=True) if isinstance(answer, Reading)}

    async def rates(self, policy: TokenPolicy) -> Rates | None:
        """What the upstream itself counted of each client; None when the policy gives no expression for it."""
        if not policy.spec.load.clients:
            return None
        question = policy.spec.load.clients, policy.namespace
        answer = await self._ask(question, policy.spec.report.interval_seconds / 2)
        return answer if isinstance(answer, Rates) else None

    async def close(self) -> None:
        """Threads that still wait for an answer end by themselves, within the source's time-out."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._parts.close()
        self._rates.close()

    async def _ask(self, question: Question, fresh_seconds: float) -> Answer:
        now = self._clock()
        asked = self._asked.get(question)
        if asked is None or (asked.answer.done() and now - asked.at >= fresh_seconds):
            self._sweep(now)
            future = asyncio.get_running_loop().run_in_executor(self._threads, self._query, question)
            asked = self._asked[question] = _Asked(now, future)
        # Whoever gives up waiting does not take the answer from the others.
        return await asyncio.shield(asked.answer)

    def _sweep(self, now: float) -> None:
        if now - self._swept_at < FORGOTTEN_SECONDS:
            return
        self._swept_at = now
        self._asked = {q: a for q, a in self._asked.items() if not a.answer.done() or now - a.at < FORGOTTEN_SECONDS}

    # On a thread

    def _query(self, question: Question) -> Answer:
        expression, namespace = question
        answer = self._known_away() or self._timed(expression, self._parts if namespace is None else self._rates)
        if namespace is None:
            return Reading(None, answer) if isinstance(answer, Fault) else reading_of(answer)
        return Rates({}, [answer]) if isinstance(answer, Fault) else rates_of(answer, namespace)

    def _known_away(self) -> Fault | None:
        return self._away[1] if self._away and self._clock() < self._away[0] else None

    def _timed(self, expression: str, connect: PrometheusConnect) -> object | Fault:
        started = time.perf_counter()
        answer = self._answer(expression, connect)
        self._took(time.perf_counter() - started)
        self._note(answer)
        return answer

    def _answer(self, expression: str, connect: PrometheusConnect) -> object | Fault:
        limit = f"{int(self._source.timeout_seconds * 1000)}ms"
        try:
            answer: object = connect.custom_query(expression, params={"timeout": limit})
        except Answered as answered:
            return answered.fault
        except requests.Timeout:
            return Fault("TimedOut", f"got no answer within {self._source.timeout_seconds:g} s")
        except requests.exceptions.SSLError:
            return Fault("Unreachable", "can't be asked: the source's certificate is not trusted")
        except requests.ConnectionError:
            return Fault("Unreachable", "can't be asked: the source can't be reached")
        except (requests.RequestException, ValueError, KeyError, TypeError, RecursionError):
            return Fault("BadAnswer", "got an answer that is not Prometheus's JSON")
        return answer

    def _note(self, answer: object | Fault) -> None:
        if not isinstance(answer, Fault) or answer.kind not in ("TimedOut", "Unreachable"):
            self._failures, self._away = 0, None
            return
        self._failures += 1
        if self._failures >= AWAY_AFTER:
            self._away = self._clock() + AWAY_SECONDS, answer


def _connect(source: PrometheusSource, most_bytes: int, clock: Callable[[], float]) -> PrometheusConnect:
    return PrometheusConnect(
        source.url.rstrip("/"),
        headers=dict(source.headers),
        auth=_auth(source),
        session=Session(most_bytes, source.timeout_seconds, source.ca_file, clock),
        timeout=source.timeout_seconds,
        retry=Retry(0, read=False),
    )


def _auth(source: PrometheusSource) -> AuthBase | None:
    if source.bearer_token_file:
        return BearerFile(source.bearer_token_file)
    if source.basic_auth:
        return BasicFile(source.basic_auth.username, source.basic_auth.password_file)
    return None
