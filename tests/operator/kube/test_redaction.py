from typing import Any

import pytest

from forefill_operator.kube import redaction

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"token {JWT} was seen", "token REDACTED was seen"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer REDACTED"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic REDACTED"),
        ("https://user:pass@prometheus:9090/api", "https://REDACTED@prometheus:9090/api"),
        ("redis://:hunter2@valkey:6379", "redis://REDACTED@valkey:6379"),
        ("password=hunter2 next", "password=REDACTED next"),
        ('"api_key": "sk-123"', '"api_key": "REDACTED"'),
        ("db-password: hunter2", "db-password: REDACTED"),
        (f"a {KEY} b", "a REDACTED b"),
        ("pod shop/web gets a sidecar for shop/llm", "pod shop/web gets a sidecar for shop/llm"),
        ('forefill_policy_max{policy="shop/llm"} 400.0', 'forefill_policy_max{policy="shop/llm"} 400.0'),
        ("offered_tokens_total 12.0", "offered_tokens_total 12.0"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_of_text(said: str, left: str) -> None:
    assert redaction.text(said) == left


@pytest.mark.parametrize(
    ("manifest", "left"),
    [
        ({"password": "hunter2"}, {"password": "REDACTED"}),
        ({"spec": {"apiToken": "x", "tokenFile": "/t"}}, {"spec": {"apiToken": "REDACTED", "tokenFile": "/t"}}),
        (
            {"headers": {"x-org": "a", "authorization": "b"}},
            {"headers": {"x-org": "REDACTED", "authorization": "REDACTED"}},
        ),
        ({"data": {"sources.yaml": f"a: Bearer {JWT}"}}, {"data": {"sources.yaml": "a: Bearer REDACTED"}}),
        ({"volumes": [{"secret": {"secretName": "tls"}}]}, {"volumes": [{"secret": {"secretName": "tls"}}]}),
        ({"metadata": {"managedFields": [1], "name": "a"}}, {"metadata": {"name": "a"}}),
        (
            {"rules": [{"resources": ["secrets"], "verbs": ["get"]}]},
            {"rules": [{"resources": ["secrets"], "verbs": ["get"]}]},
        ),
        ({"args": ["--ticket-secret=tickets"]}, {"args": ["--ticket-secret=REDACTED"]}),
        ({"fillRate": {"max": 400}, "on": True, "none": None}, {"fillRate": {"max": 400}, "on": True, "none": None}),
    ],
)
def test_what_is_named_like_a_secret_is_taken_out_of_manifests(manifest: Any, left: Any) -> None:
    assert redaction.document(manifest) == left
