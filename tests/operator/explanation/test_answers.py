from collections.abc import Callable

import msgspec
import pytest

from forefill_operator.client import Client
from forefill_operator.controller import Controller
from forefill_operator.explanation.answers import answer
from forefill_operator.explanation.facts import ClassFacts, ClientFacts, PolicyFacts
from forefill_operator.load.readings import Fault
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load
from forefill_protocol.messages import Forecast, Hello, Holding, PolicyReport, Report

MakePolicy = Callable[..., TokenPolicy]


@pytest.fixture
def controller(make_policy: MakePolicy) -> Controller:
    """Two policies named llm; ai/llm has a busy and a quiet client that reported at 10."""
    made = Controller(first_start=True)
    for namespace in ("ai", "shop"):
        made.put_policy(make_policy(metadata__namespace=namespace, spec__clients={"namespaces": ["ai", "shop"]}), 0.0)
    for number, (pod, rate) in enumerate([("web-0", 30.0), ("web-1", 5.0)]):
        client = Client("ai", "web", pod, f"uid-{number}", workload="Deployment/web")
        made.hello(client, Hello(1, "boot", "test", [Holding(policy="ai/llm")]), 0.0)
        forecast = Forecast(mean=rate, p50=rate, p90=rate, p95=rate)
        entry = PolicyReport("ai/llm", 10.0, 10 * rate, 10 * rate, 0.0, 0.0, 100, [forecast])
        made.report(client, Report(1, [entry]), 10.0)
    made.set_load("ai/llm", Load(0.5, 0.5, 0.5, "Held", 40.0), {"cpu": Fault("NoSeries", "gives no series")})
    made.tick(20.0)
    return made


def policy_of(controller: Controller, policy: str) -> PolicyFacts:
    told = answer(controller, policy, "", 20.0)
    assert told.status == 200
    return msgspec.json.decode(told.body, type=PolicyFacts)


def client_of(controller: Controller, client: str) -> ClientFacts:
    told = answer(controller, "ai/llm", client, 20.0)
    assert told.status == 200
    return msgspec.json.decode(told.body, type=ClientFacts)


def test_a_policy_is_told_with_its_classes_and_its_largest_clients(controller: Controller) -> None:
    facts = policy_of(controller, "ai/llm")
    terms = facts.terms
    assert (facts.policy, facts.mode, facts.clients, terms.base, terms.requested) == (
        "ai/llm",
        "Enforce",
        2,
        50.0,
        35.0,
    )
    assert facts.load_faults == ["cpu gives no series"]
    assert terms.load == Load(0.5, 0.5, 0.5, "Held", 40.0)
    (only,) = facts.classes
    assert only == ClassFacts("namespace/ai", 1.0, 0.0, None, 2, 35.0, only.rate)
    assert only.rate == pytest.approx(sum(each.rate for each in facts.top))
    assert [each.name for each in facts.top] == ["ai/web-0", "ai/web-1"]
    assert facts.restrained == []
    assert facts.offered == 35.0


def test_a_client_is_told_with_what_is_believed_of_it(controller: Controller) -> None:
    facts = client_of(controller, "ai/web-0")
    assert (facts.client, facts.pod_uid, facts.workload, facts.class_name) == (
        "ai/web-0",
        "uid-0",
        "Deployment/web",
        "namespace/ai",
    )
    assert (facts.forecast, facts.believed, facts.request, facts.offered) == (30.0, 30.0, 30.0, 30.0)
    assert (facts.is_connected, facts.heard_seconds, facts.is_newcomer) == (True, 10.0, True)
    assert facts.rate == controller.books["ai/llm"].members["uid-0"].rate
    assert facts.verdict == "None"


def test_a_pod_is_found_by_its_uid_and_by_each_form_of_its_name(controller: Controller) -> None:
    found = [client_of(controller, name).pod_uid for name in ("uid-1", "ai/web-1", "web-1")]
    assert found == ["uid-1"] * 3


@pytest.mark.parametrize(
    ("policy", "client", "status", "sentence"),
    [
        ("", "", 400, "policy=[NAMESPACE/]NAME is required"),
        ("other", "", 404, "there is no TokenPolicy other here"),
        ("ai/other", "", 404, "there is no TokenPolicy ai/other here"),
        ("llm", "", 404, "llm may be ai/llm, shop/llm; say which"),
        ("ai/llm", "web-2", 404, "TokenPolicy ai/llm has no client web-2"),
        ("shop/llm", "web-0", 404, "TokenPolicy shop/llm has no client web-0"),
        ("ai/llm\n", "", 404, "there is no TokenPolicy ai/llm\n here"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(
    controller: Controller, policy: str, client: str, status: int, sentence: str
) -> None:
    told = answer(controller, policy, client, 20.0)
    assert (told.status, msgspec.json.decode(told.body)) == (status, {"error": sentence})


def test_pods_of_one_name_are_told_apart_by_uid(controller: Controller) -> None:
    again = Client("ai", "web", "web-0", "uid-2")
    controller.hello(again, Hello(1, "boot", "test", [Holding(policy="ai/llm")]), 20.0)
    told = answer(controller, "ai/llm", "web-0", 20.0)
    sentence = "web-0 may be ai/web-0 (uid uid-0), ai/web-0 (uid uid-2); say which"
    assert (told.status, msgspec.json.decode(told.body)) == (404, {"error": sentence})


def test_a_policy_that_was_deleted_is_not_explained(controller: Controller) -> None:
    controller.remove_policy("shop/llm", 20.0)
    assert policy_of(controller, "llm").policy == "ai/llm"
