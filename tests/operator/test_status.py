from collections.abc import Callable

from forefill_operator import status
from forefill_operator.book import Book
from forefill_operator.client import Client
from forefill_operator.learning import Learning
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load
from forefill_protocol.messages import Ack, Holding

Make = Callable[..., TokenPolicy]


def test_a_status_says_totals_and_names_at_most_five_clients(make_policy: Make) -> None:
    book = Book(make_policy(), Learning(), 0.0)
    for number in range(7):
        book.hello(Client("ai", "default", f"chat-{number}", f"uid-{number}"), Holding("ai/llm"), 0.0)
    book.acknowledge("uid-0", Ack("ai/llm", 1, 1), 0.1)
    told = status.manifest(status.status_of(book, None, 1, 0.2), {}, "2026-01-01T00:00:00Z")
    conditions = told.pop("conditions")
    assert [(c["type"], c["status"], c["reason"], c["lastTransitionTime"]) for c in conditions] == [
        ("Accepted", "True", "Accepted", "2026-01-01T00:00:00Z"),
        ("Enforced", "False", "Pending", "2026-01-01T00:00:00Z"),
        ("LoadKnown", "False", "NoSource", "2026-01-01T00:00:00Z"),
        ("Calm", "True", "NoAnomalies", "2026-01-01T00:00:00Z"),
    ]
    assert [top["pod"] for top in told.pop("topClients")] == [f"ai/chat-{number}" for number in range(5)]
    assert told == {
        "observedGeneration": 1,
        "clients": 7,
        "targetFillRate": 50.0,
        "predictedTotal": 0.0,
        "weights": {"prediction": 1.0},
        "clamped": "None",
    }


def test_clients_whose_lease_ended_do_not_count(make_policy: Make) -> None:
    book = Book(make_policy(), Learning(), 0.0)
    book.hello(Client("ai", "default", "chat", "uid"), Holding("ai/llm"), 0.0)
    late = status.status_of(book, None, 1, 31.0)
    assert (late.clients, late.top_clients, late.conditions[1].reason) == (0, [], "NoClients")


def test_a_known_load_is_shown_with_its_weight(make_policy: Make) -> None:
    book = Book(make_policy(spec__weights__load=-20, spec__thresholds__load={"low": 0.1, "high": 0.6}), Learning(), 0.0)
    book.load = Load(0.9, 0.6, 0.3)
    book.tick(10.0)
    told = status.manifest(status.status_of(book, None, 1, 10.0), {}, "now")
    assert (told["load"], told["weights"]) == (0.6, {"prediction": 1.0, "load": -20.0})


def test_times_are_taken_from_the_manifest_unless_nobody_can_read_them(make_policy: Make) -> None:
    made = status.status_of(Book(make_policy(), Learning(), 0.0), None, 1, 0.0)
    first = status.manifest(made, {}, "then")
    assert status.manifest(made, first, "now") == first
    mangled = status.manifest(made, {"conditions": "none"}, "now")
    assert {c["lastTransitionTime"] for c in mangled["conditions"]} == {"now"}
