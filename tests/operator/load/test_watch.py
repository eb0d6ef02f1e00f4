import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from forefill_operator.client import Client
from forefill_operator.conditions import Condition
from forefill_operator.controller import Controller
from forefill_operator.load.metrics import LoadCollector
from forefill_operator.load.readings import Fault, Part, Rates, Reading, reading_of
from forefill_operator.load.watch import Watch
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load
from forefill_protocol.messages import PolicyReport, Report

MakePolicy = Callable[..., TokenPolicy]
GONE = Reading(None, Fault("NoSeries", "gives no series"))


class Exporter:
    """A source whose answers the test sets; it answers when `answering` is set."""

    def __init__(self) -> None:
        self.readings: Mapping[Part, Reading] = {"cpu": Reading(0.5)}
        self.counted: Rates | None = None
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.closed = False

    def allows(self, policy: TokenPolicy) -> bool:
        return policy.namespace == "ai"

    async def read(self, policy: TokenPolicy) -> Mapping[Part, Reading]:
        self.asked.append(policy.key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.answering.wait()
        finally:
            self.at_once -= 1
        return self.readings

    async def rates(self, policy: TokenPolicy) -> Rates | None:
        return self.counted

    async def close(self) -> None:
        self.closed = True


class Watching:
    """A watch on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.controller = Controller(first_start=True)
        self.source = Exporter()
        self.watch = Watch(
            self.controller,
            {"default": self.source},
            clock=lambda: self.now,
            chance=lambda: 0.5,
        )
        self.tasks: asyncio.TaskGroup

    def put(self, policy: TokenPolicy) -> None:
        self.controller.put_policy(policy, self.now)

    async def until(self, now: float) -> None:
        while self.now < now:
            self.now += 0.5
            await self.look()

    async def look(self) -> None:
        self.watch.look_around(self.tasks)
        for _ in range(5):
            await asyncio.sleep(0)

    def load(self, key: str = "ai/llm") -> Load | None:
        return self.controller.books[key].load

    def condition(self, key: str = "ai/llm") -> Condition:
        status = self.controller.status(key, self.now)
        assert status is not None
        return next(each for each in status.conditions if each.type == "LoadKnown")


@pytest.fixture
async def watching() -> AsyncIterator[Watching]:
    made = Watching()
    async with asyncio.TaskGroup() as made.tasks:
        yield made
        made.source.answering.set()


CLIENT = Client("ai", "web", "web-0", "uid-0")
CPU = {"cpu": "up", "staleAfterSeconds": 30}


async def test_a_policy_is_measured_once_an_interval_and_its_load_is_told(
    watching: Watching, make_policy: MakePolicy
) -> None:
    watching.put(make_policy(spec__load=CPU))
    await watching.until(1.0)
    assert watching.source.asked == ["ai/llm"]
    await watching.look()
    assert watching.load() == Load(0.5, 0.5, 0.5, "Known", 0.5)
    assert watching.condition().reason == "Fresh"
    await watching.until(41.0)
    assert watching.source.asked == ["ai/llm"] * 5


async def test_a_slow_source_is_never_asked_twice_at_once(watching: Watching, make_policy: MakePolicy) -> None:
    watching.source.answering.clear()
    watching.put(make_policy(spec__load=CPU))
    await watching.until(100.0)
    assert watching.source.asked == ["ai/llm"]
    assert watching.source.most_at_once == 1
    watching.source.answering.set()
    await watching.until(101.0)
    assert watching.load() == Load(0.5, 0.5, 0.5, "Known", 0.5)


async def test_a_metric_that_is_renamed_is_named_in_the_condition_and_its_value_fades(
    watching: Watching, make_policy: MakePolicy
) -> None:
    watching.put(make_policy(spec__load=CPU))
    await watching.until(5.0)
    watching.source.readings = {"cpu": GONE}
    await watching.until(45.0)
    load, condition = watching.load(), watching.condition()
    assert load is not None
    assert (load.state, load.cpu) == ("Held", 0.5)
    assert (condition.status, condition.reason) == ("False", "Held")
    assert condition.message == "What was measured last stands in for what is missing; cpu gives no series"
    await watching.until(200.0)
    assert watching.load() == Load(0.0, 0.0, 0.0, "Unknown", 0.0)
    assert watching.condition().reason == "Unknown"
    watching.source.readings = {"cpu": Reading(0.9)}
    await watching.until(215.0)
    assert watching.condition().reason == "Fresh"


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({}, "NoSource", "No source of load is configured; the fill rate follows demand alone"),
        (
            {"spec__load": {"source": "prod", "cpu": "up"}},
            "UnknownSource",
            "No load is measured; the fill rate follows demand alone; "
            "load source 'prod' is not set up by the operator's administrator (default)",
        ),
        (
            {"spec__load": {"cpu": "up"}, "metadata__namespace": "shop"},
            "SourceNotAllowed",
            "No load is measured; the fill rate follows demand alone; "
            "load source 'default' may not be asked by policies of namespace shop",
        ),
    ],
)
async def test_a_policy_that_may_not_ask_is_told_so_and_nothing_is_asked(
    watching: Watching, make_policy: MakePolicy, changes: dict[str, Any], reason: str, message: str
) -> None:
    policy = make_policy(**changes)
    watching.put(policy)
    await watching.until(30.0)
    assert watching.source.asked == []
    assert watching.load(policy.key) is None
    condition = watching.condition(policy.key)
    assert (condition.status, condition.reason, condition.message) == ("False", reason, message)


async def test_a_change_of_the_policy_is_measured_at_once_and_a_deleted_policy_never_again(
    watching: Watching, make_policy: MakePolicy
) -> None:
    watching.put(make_policy(spec__load=CPU))
    await watching.until(1.0)
    watching.put(make_policy(spec__load={**CPU, "cpu": "other"}, metadata__generation=2))
    await watching.until(1.5)
    assert len(watching.source.asked) == 2
    watching.controller.remove_policy("ai/llm", watching.now)
    await watching.until(60.0)
    assert len(watching.source.asked) == 2
    assert watching.watch.watched == {}


async def test_what_the_upstream_counted_of_a_client_is_compared_with_its_reports(
    watching: Watching, make_policy: MakePolicy
) -> None:
    watching.source.readings = {}
    watching.source.counted = Rates({"ai/web-0": 12.5}, [Fault("BadAnswer", "gives a series without the label pod")])
    watching.put(make_policy(spec__load={"clients": "sum by (pod) (tokens)"}))
    verdicts = []
    for number in range(1, 7):
        await watching.until(10.0 * number)
        entry = PolicyReport("ai/llm", 10.0, 50.0, 50.0, 0.0, 0.0, 50, [])
        watching.controller.report(CLIENT, Report(number, [entry]), watching.now)
        appraisal = watching.controller.books["ai/llm"].members["uid-0"].appraisal
        assert appraisal is not None
        verdicts.append((appraisal.verdict, [anomaly.kind for anomaly in appraisal.anomalies]))
    assert verdicts[0] == ("None", [])
    assert verdicts[-1] == ("Clamp", ["Contradicted"])
    assert watching.load() is None
    assert watching.condition().message == (
        "No load is measured; the fill rate follows demand alone; clients gives a series without the label pod"
    )


async def test_many_policies_that_come_at_once_are_spread_over_their_interval(
    watching: Watching, make_policy: MakePolicy
) -> None:
    for number in range(400):
        watching.put(make_policy(spec__load=CPU, metadata__name=f"p{number}"))
    await watching.until(0.5)
    assert 0 < len(watching.source.asked) < 100
    await watching.until(6.0)
    assert len(set(watching.source.asked)) == 400


async def test_metrics_show_parts_state_and_faults_and_forget_deleted_policies(
    watching: Watching, make_policy: MakePolicy
) -> None:
    registry = CollectorRegistry()
    registry.register(LoadCollector(watching.watch))
    watching.source.readings = {"cpu": Reading(0.5), "memory": GONE}
    watching.put(make_policy(spec__load={**CPU, "memory": "gone"}))
    await watching.until(1.0)
    samples = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert samples == [
        'forefill_policy_load{part="cpu",policy="ai/llm"} 0.5',
        'forefill_policy_load_state{policy="ai/llm",state="Known"} 0.0',
        'forefill_policy_load_state{policy="ai/llm",state="Held"} 1.0',
        'forefill_policy_load_state{policy="ai/llm",state="Decaying"} 0.0',
        'forefill_policy_load_state{policy="ai/llm",state="Unknown"} 0.0',
        'forefill_policy_load_age_seconds{policy="ai/llm"} 0.5',
        'forefill_policy_load_faults_total{kind="NoSeries",policy="ai/llm"} 1.0',
    ]
    watching.controller.remove_policy("ai/llm", watching.now)
    await watching.look()
    assert [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")] == []


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        ("busy", "NotANumber", "cpu gives 'busy', which is no number"),
        ("NaN", "NotFinite", "cpu is 'NaN', not a finite number; is something divided by 0?"),
        ("1e309", "NotFinite", "cpu is '1e309', not a finite number; is something divided by 0?"),
        ("-0.5", "Negative", "cpu is -0.5, but must be from 0 to 1"),
        ("57.3", "AboveOne", "cpu is 57.3 and counts as 1: it must be from 0 to 1, a percentage divided by 100"),
    ],
)
async def test_an_expression_that_gives_nonsense_is_named_and_counted_and_the_policy_hands_out(
    answer: str, kind: str, sentence: str, watching: Watching, make_policy: MakePolicy
) -> None:
    registry = CollectorRegistry()
    registry.register(LoadCollector(watching.watch))
    watching.source.readings = {"cpu": reading_of([{"metric": {}, "value": [1700000000.1, answer]}])}
    watching.put(make_policy(spec__load=CPU))
    await watching.until(60.0)
    assert sentence in watching.condition().message
    counted = registry.get_sample_value("forefill_policy_load_faults_total", {"policy": "ai/llm", "kind": kind})
    assert counted is not None
    assert counted >= 2.0
    watching.controller.tick(watching.now)
    assert 20.0 <= watching.controller.figures(watching.now)["ai/llm"].adjusted <= 400.0


async def test_the_sources_are_closed_when_the_watch_ends(watching: Watching) -> None:
    running = asyncio.create_task(watching.watch.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert watching.source.closed
