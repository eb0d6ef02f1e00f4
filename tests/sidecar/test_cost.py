import pytest

from forefill_protocol.policysettings import CostRoute, CostSettings
from forefill_sidecar import cost
from forefill_sidecar.cost import NO_ROUTE, Price

ROUTES = [
    CostRoute(method="POST", path="/v1/chat/completions", cost=20.0),
    CostRoute(path="/v1/models/{model}", cost=2.0),
    CostRoute(path="/files/**", cost=5.0),
    CostRoute(method="GET", path="/health", cost=0.0),
]


def price(
    settings: CostSettings, method: bytes = b"GET", target: bytes = b"/", size: int = 0, tokens: bytes | None = None
) -> Price:
    fields = {} if tokens is None else {b"x-tokens": b"X-Tokens: " + tokens}
    return cost.rule(settings).price(method, target, fields, size)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"POST", b"/v1/chat/completions", Price(20.0, 0)),
        (b"GET", b"/v1/chat/completions", Price(1.0, NO_ROUTE)),
        (b"POST", b"/v1/chat/completions?stream=1", Price(20.0, 0)),
        (b"POST", b"/v1/chat/completions/", Price(1.0, NO_ROUTE)),
        (b"GET", b"/v1/models/gpt-4", Price(2.0, 1)),
        (b"GET", b"/v1/models/", Price(1.0, NO_ROUTE)),
        (b"GET", b"/v1/models/a/b", Price(1.0, NO_ROUTE)),
        (b"PUT", b"/files/a/b.txt", Price(5.0, 2)),
        (b"PUT", b"/files", Price(5.0, 2)),
        (b"PUT", b"/filesystem", Price(1.0, NO_ROUTE)),
        (b"GET", b"/health", Price(0.0, 3)),
    ],
)
def test_the_first_matching_route_tells_the_cost(method: bytes, target: bytes, expected: Price) -> None:
    assert price(CostSettings(default=1.0, routes=ROUTES), method, target) == expected


def test_a_dot_in_a_path_is_a_dot() -> None:
    settings = CostSettings(default=1.0, routes=[CostRoute(path="/a.b", cost=9.0)])

    assert price(settings, target=b"/axb") == Price(1.0, NO_ROUTE)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (b"30", 30.0),
        (b" 2.5 ", 2.5),
        (b"0", 0.0),
        (b"-1", 1.0),
        (b"1e9", 1.0),
        (b"nan", 1.0),
        (b"", 1.0),
        (b"9" * 13, 1.0),
    ],
)
def test_a_header_counts_when_it_is_a_number(value: bytes, tokens: float) -> None:
    assert price(CostSettings(default=1.0, header="X-Tokens"), tokens=value).tokens == tokens


def test_a_body_costs_by_its_size_on_top() -> None:
    settings = CostSettings(default=1.0, per_kilobyte=0.5, routes=ROUTES)

    assert price(settings, target=b"/files/a", size=3000) == Price(6.5, 2)


def test_what_responses_said_lately_is_reserved() -> None:
    rule = cost.rule(CostSettings(default=1.0, response_pointer="/usage/total_tokens", reserve=200.0, routes=ROUTES))

    def chat() -> Price:
        return rule.price(b"POST", b"/v1/chat/completions", {}, 0)

    assert chat() == Price(200.0, 0)

    rule.learn(0, 100.0)
    rule.learn(0, 300.0)

    assert chat() == Price(200.0, 0)
    assert rule.price(b"GET", b"/v1/models/a", {}, 0) == Price(200.0, 1)
    for _ in range(200):
        rule.learn(0, 900.0)
    assert chat().tokens == pytest.approx(900.0, rel=0.01)


def said(rule: cost.CostRule, tokens: bytes) -> Price:
    return rule.price(b"POST", b"/", {b"x-tokens": b"x-tokens: " + tokens}, 0)


@pytest.mark.parametrize("factor", [0.01, 0.5, 1.0, 3.0])
def test_a_header_counts_for_what_headers_turned_out_to_be_worth(factor: float) -> None:
    rule = cost.rule(CostSettings(default=1.0, header="X-Tokens", response_pointer="/usage/total_tokens"))
    assert said(rule, b"100") == Price(100.0, NO_ROUTE, 100.0)
    for tokens in (100.0, 300.0, 200.0):
        rule.learn(NO_ROUTE, tokens, factor * tokens)
    assert said(rule, b"%.2f" % (factor * 50.0)).tokens == pytest.approx(50.0)


def test_a_header_of_nothing_is_not_heard_where_responses_tell() -> None:
    rule = cost.rule(CostSettings(default=1.0, header="X-Tokens", response_pointer="/usage/total_tokens", reserve=20.0))
    assert said(rule, b"0") == Price(20.0, NO_ROUTE)
    rule.learn(NO_ROUTE, 70.0)
    assert said(rule, b"0") == Price(70.0, NO_ROUTE)


def test_without_a_reserve_the_routes_own_cost_stands_in() -> None:
    settings = CostSettings(default=1.0, response_pointer="/usage/total_tokens", routes=ROUTES)

    assert price(settings, b"POST", b"/v1/chat/completions") == Price(20.0, 0)


def test_debt_is_one_burst_unless_the_policy_says_otherwise() -> None:
    assert cost.rule(CostSettings(default=1.0)).debt_allowed(50.0) == 50.0
    assert cost.rule(CostSettings(default=1.0, max_debt=7.0)).debt_allowed(50.0) == 7.0


def test_a_pointer_may_name_a_slash() -> None:
    assert cost.rule(CostSettings(default=1.0, response_pointer="/a~1b/~01")).pointer == ("a/b", "~1")
