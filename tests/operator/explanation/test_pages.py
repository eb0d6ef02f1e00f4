from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from forefill_operator.explanation import client_page, pages, policy_page
from forefill_operator.explanation.facts import (
    AnomalyFacts,
    ClassFacts,
    ClientFacts,
    ClientLine,
    HeldUp,
    PolicyFacts,
)
from forefill_operator.explanation.page import Fact, plain
from forefill_operator.shaping import Load, Terms

GOLDEN = Path(__file__).parent / "golden"

TERMS = Terms(
    base=50.0,
    requested=210.0,
    predicted_total=210.0,
    weight_prediction=1.1,
    load=Load(0.9, 0.6, 0.75),
    weight_load=-60.0,
    target=236.0,
    ceiling=180.0,
    adjusted=180.0,
    clamp="Ceiling",
    lent=0.0,
)
SHORT = PolicyFacts(
    policy="ai/llm",
    generation=3,
    mode="Observe",
    min=20.0,
    max=400.0,
    clients=12,
    terms=TERMS,
    prediction_bounds=(0.8, 1.5),
    load_weight=-100.0,
    load_weight_growth=1.1,
    load_faults=["network gives 2 series, but must give one; put it in avg() or max()"],
    reserved=240.0,
    unknown=40.0,
    held=150.0,
    pool_rate=8.0,
    available=160.0,
    waiting=2,
    offered=205.0,
    would_wait=41.0,
    would_refuse=12.0,
    held_up_clients=1,
    held_up=[HeldUp("ai/job-0", 41.0, 12.0)],
    classes=[
        ClassFacts("batch", 1.0, 0.0, 100.0, 4, 150.0, 92.0),
        ClassFacts("namespace/shop", 1.0, 10.0, None, 8, 60.0, 60.0),
    ],
    top=[
        ClientLine("ai/job-0", "batch", 90.0, 52.0, 0.31, 0.95, "Clamp"),
        ClientLine("shop/web-0", "namespace/shop", 30.0, 30.0, None, 1.0, "None"),
    ],
    restrained=[ClientLine("ai/job-0", "batch", 90.0, 52.0, 0.31, 0.95, "Clamp")],
    sentence="",
)
IDLE = replace(
    SHORT,
    mode="Enforce",
    clients=0,
    terms=replace(
        TERMS, requested=0.0, predicted_total=0.0, load=None, weight_load=0.0, target=50.0, ceiling=400.0,
        adjusted=50.0, clamp="None",
    ),
    load_weight_growth=1.0,
    load_faults=[],
    reserved=0.0,
    unknown=0.0,
    held=0.0,
    pool_rate=0.0,
    available=50.0,
    waiting=0,
    offered=0.0,
    would_wait=0.0,
    would_refuse=0.0,
    held_up_clients=0,
    held_up=[],
    classes=[],
    top=[],
    restrained=[],
)  # fmt: skip
CLIENT = ClientFacts(
    policy="ai/llm",
    mode="Enforce",
    client="ai/job-0",
    pod_uid="uid-0",
    workload="Job/job",
    class_name="batch",
    is_connected=True,
    heard_seconds=3.21,
    forecast=40.0,
    shadow=100.0,
    shadow_spread=10.0,
    trust=0.25,
    skill=-0.4,
    is_newcomer=False,
    believed=85.0,
    backlog=50.0,
    backlog_rate=5.0,
    declared=10.0,
    request=90.0,
    reactive=80.0,
    spread=12.0,
    priority=0.95,
    share=52.0,
    is_short=True,
    planned=52.0,
    rate=30.0,
    safe_rate=15.0,
    held=80.0,
    burst=90.0,
    lump=20.0,
    rate_seconds=8.79,
    lease_seconds=26.79,
    offered=88.0,
    admitted=50.0,
    would_wait=50.0,
    would_refuse=8.0,
    verdict="Clamp",
    anomalies=[AnomalyFacts("Untrue", "its forecasts cost 1.4 times what the operator's own would have", 120.0)],
    sentence="30 tokens/s: asked for 100, cut to a fair share of 52",
)
NEWCOMER = replace(
    CLIENT,
    mode="Observe",
    is_connected=False,
    workload="",
    heard_seconds=None,
    forecast=None,
    shadow=None,
    shadow_spread=None,
    trust=None,
    skill=None,
    is_newcomer=True,
    believed=None,
    request=None,
    planned=None,
    verdict="None",
    anomalies=[],
    lump=0.0,
    held=30.0,
    would_wait=0.0,
    would_refuse=0.0,
)
SURPLUS = replace(
    CLIENT,
    backlog=0.0,
    backlog_rate=0.0,
    declared=0.0,
    believed=85.0,
    request=85.0,
    planned=97.0,
    rate=97.0,
    held=97.0,
    is_short=False,
    is_newcomer=True,
    trust=1.0,
    shadow=None,
)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("policy-short", SHORT),
        ("policy-idle", IDLE),
        ("client-short", CLIENT),
        ("client-newcomer", NEWCOMER),
        ("client-surplus", SURPLUS),
    ],
)
def test_a_page_reads_as_it_was_approved(name: str, facts: PolicyFacts | ClientFacts) -> None:
    assert plain(pages.page_of(msgspec.json.encode(facts))) == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (IDLE, "Nobody is connected; 50 tokens/s are there for the first."),
        (
            replace(SHORT, terms=replace(TERMS, requested=100.0)),
            "12 clients ask for 100 tokens/s and can have all of it: there are 152 to divide, since load takes some.",
        ),
        (
            replace(SHORT, terms=replace(TERMS, requested=100.0, lent=20.0)),
            "12 clients ask for 100 tokens/s and can have all of it: "
            "there are 152 to divide, 20 of them lent while the upstream idles.",
        ),
        (
            replace(SHORT, available=180.0),
            "12 clients ask for 210 tokens/s and can have 172, since the upstream has too much to do.",
        ),
        (
            replace(SHORT, available=180.0, terms=replace(TERMS, clamp="Max")),
            "12 clients ask for 210 tokens/s and can have 172, which is all that fillRate.max allows.",
        ),
        (
            replace(SHORT, available=180.0, terms=replace(TERMS, clamp="None")),
            "12 clients ask for 210 tokens/s and can have 172, which is what base and load leave of the prediction.",
        ),
    ],
)
def test_a_person_is_told_in_a_sentence_why(facts: PolicyFacts, sentence: str) -> None:
    assert policy_page.sentence(facts) == sentence


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            replace(SHORT, would_wait=0.0, would_refuse=0.0, held_up_clients=0, held_up=[]),
            "Observing: enforcement would have made nobody wait in the last windows, and refused nothing.",
        ),
        (
            replace(
                SHORT,
                held_up_clients=12,
                held_up=[HeldUp(f"ai/{n}", 4.0, 1.0) for n in range(10)],
            ),
            "Observing: of 205 tokens/s in the last windows enforcement would have delayed 41 (20 %) and refused 12 "
            "(5.85 %): of ai/0 4 and 1, of ai/1 4 and 1, of ai/2 4 and 1, and of 9 more.",
        ),
    ],
)
def test_an_observed_policy_says_what_enforcement_would_have_done(facts: PolicyFacts, told: str) -> None:
    assert policy_page.observed(facts) == told


def test_the_load_is_shown_with_its_state_and_age() -> None:
    shown = [
        policy_page.load_fact(load, faults)
        for load, faults in [
            (None, []),
            (None, ["cpu gives no series"]),
            (Load(0.5, 0.25, 0.75), []),
            (Load(0.5, 0.25, 0.75, "Held", 42.4), []),
        ]
    ]
    assert shown == [
        Fact("load", "not measured"),
        Fact("load", "unknown", "Bad"),
        Fact("load", "0.50 (CPU 0.50, memory 0.25, network 0.75), Known"),
        Fact("load", "0.50 (CPU 0.50, memory 0.25, network 0.75), Held, 42 s old", "Bad"),
    ]


def test_an_observed_client_is_told_what_would_have_waited() -> None:
    told = "Observing: of its 88 tokens/s enforcement would have delayed 50 and refused 8."
    assert client_page.observed(replace(CLIENT, mode="Observe")) == told


def test_a_document_of_another_version_is_not_taken_for_a_page() -> None:
    with pytest.raises(msgspec.DecodeError):
        pages.page_of(b'{"about": "policy", "policy": "ai/llm"}')
