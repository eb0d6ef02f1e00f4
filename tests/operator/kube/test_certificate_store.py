import base64
import datetime
from typing import Any

import pytest

from forefill_operator.kube import certificate_store, certificates
from forefill_operator.kube.api import Api
from forefill_operator.kube.authorities import OVERLAP
from forefill_operator.kube.certificate_store import BrokenSecret, Names
from forefill_operator.kube.certificates import Pair

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = Names("forefill", "ca", "injector-tls", "operator", "injector", "hook")
CA = "/api/v1/namespaces/forefill/secrets/ca"
TLS = "/api/v1/namespaces/forefill/secrets/injector-tls"
HOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hook"


class Cluster(dict[str, Any]):
    """The three objects, changed by merge patches as an API server changes them."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Any] = {
            CA: {"metadata": {"resourceVersion": "1"}},
            TLS: {"metadata": {"resourceVersion": "1"}},
            HOOK: {"webhooks": [{"name": "inject.forefill.io", "clientConfig": {}}]},
        }
        self.conflicts = 0

    def get(self, call: str, default: Any = None) -> Any:
        method, _, path = call.partition(" ")
        if path not in self.objects:
            return default
        if method == "PATCH" and self.conflicts:
            self.conflicts -= 1
            return 409, {"reason": "Conflict", "message": "changed"}
        return 200, self.objects[path]


@pytest.fixture
def cluster(api_server: Any) -> Cluster:
    cluster = Cluster()
    api_server.answers = cluster
    api_server.patched = take(cluster)
    return cluster


def take(cluster: Cluster) -> Any:
    def patched(path: str, body: Any) -> None:
        found = cluster.objects[path]
        if "data" in body:
            found["data"] = merged(found.get("data", {}), body["data"])
            metadata = found["metadata"]
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
            metadata["annotations"] = merged(metadata.get("annotations", {}), body["metadata"].get("annotations", {}))
        for change in body.get("webhooks", []):
            for hook in found["webhooks"]:
                if hook["name"] == change["name"]:
                    hook["clientConfig"] |= change["clientConfig"]

    return patched


def merged(before: Any, change: Any) -> Any:
    """RFC 7386: null takes a member out."""
    return {name: value for name, value in {**before, **change}.items() if value is not None}


def stored(cluster: Cluster, path: str) -> Pair:
    data = cluster.objects[path]["data"]
    return Pair(base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"]))


def patches(api_server: Any) -> list[str]:
    return [call for call, _ in api_server.requests if call.startswith("PATCH")]


async def test_empty_secrets_are_filled_and_the_webhook_trusts_them(
    api: Api, api_server: Any, cluster: Cluster
) -> None:
    issued = await certificate_store.ensure(api, NAMES, None, NOW)
    authority = stored(cluster, CA)
    assert issued.ca_bundle.encode() == authority.certificate
    operator, injector = (certificate_store.hosts(name, "forefill") for name in ("operator", "injector"))
    assert certificates.serves(issued.serving, authority, operator, NOW)
    assert certificates.serves(stored(cluster, TLS), authority, injector, NOW)
    assert base64.b64decode(cluster.objects[TLS]["data"]["ca.crt"]) == authority.certificate
    bundle = cluster.objects[HOOK]["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(bundle) == authority.certificate


async def test_what_is_in_order_is_not_written_again(api: Api, api_server: Any, cluster: Cluster) -> None:
    issued = await certificate_store.ensure(api, NAMES, None, NOW)
    api_server.requests.clear()
    assert await certificate_store.ensure(api, NAMES, issued, NOW + DAY) == issued
    assert patches(api_server) == []


async def test_certificates_are_renewed_under_the_same_authority(api: Api, api_server: Any, cluster: Cluster) -> None:
    first = await certificate_store.ensure(api, NAMES, None, NOW)
    before = stored(cluster, TLS)
    api_server.requests.clear()
    second = await certificate_store.ensure(api, NAMES, first, NOW + 61 * DAY)
    assert patches(api_server) == [f"PATCH {TLS}"]
    assert second.ca_bundle == first.ca_bundle
    assert (second.serving != first.serving, stored(cluster, TLS) != before) == (True, True)


async def test_an_operator_that_starts_again_keeps_the_authority(api: Api, cluster: Cluster) -> None:
    first = await certificate_store.ensure(api, NAMES, None, NOW)
    second = await certificate_store.ensure(api, NAMES, None, NOW)
    assert second.ca_bundle == first.ca_bundle


async def test_the_first_of_two_operators_makes_the_authority(api: Api, cluster: Cluster) -> None:
    cluster.conflicts = 1
    issued = await certificate_store.ensure(api, NAMES, None, NOW)
    assert issued.ca_bundle.encode() == stored(cluster, CA).certificate


async def test_a_broken_serving_pair_is_replaced(api: Api, cluster: Cluster) -> None:
    await certificate_store.ensure(api, NAMES, None, NOW)
    cluster.objects[TLS]["data"]["tls.key"] = base64.b64encode(b"nothing").decode()
    await certificate_store.ensure(api, NAMES, None, NOW)
    assert certificates.serves(
        stored(cluster, TLS), stored(cluster, CA), certificate_store.hosts("injector", "forefill"), NOW
    )


async def test_a_broken_authority_is_not_replaced_unasked(api: Api, cluster: Cluster) -> None:
    await certificate_store.ensure(api, NAMES, None, NOW)
    cluster.objects[CA]["data"]["tls.key"] = base64.b64encode(b"nothing").decode()
    with pytest.raises(BrokenSecret, match="Secret ca holds no authority"):
        await certificate_store.ensure(api, NAMES, None, NOW)


def trusted_by_webhook(cluster: Cluster) -> bytes:
    return base64.b64decode(cluster.objects[HOOK]["webhooks"][0]["clientConfig"]["caBundle"])


async def test_an_authority_follows_another_with_both_trusted_in_between(
    api: Api, api_server: Any, cluster: Cluster
) -> None:
    first = await certificate_store.ensure(api, NAMES, None, NOW, 0)
    cluster.objects[CA]["metadata"]["annotations"] = {"forefill.io/rotate-ca": "please"}
    both = await certificate_store.ensure(api, NAMES, first, NOW + DAY, 0)
    assert (both.serving, both.ca_bundle.count("BEGIN")) == (first.serving, 2)
    assert trusted_by_webhook(cluster) == base64.b64decode(cluster.objects[TLS]["data"]["ca.crt"])
    assert trusted_by_webhook(cluster).decode() == both.ca_bundle
    waiting = await certificate_store.ensure(api, NAMES, both, NOW + DAY + OVERLAP, 1)
    assert waiting == both
    after = await certificate_store.ensure(api, NAMES, waiting, NOW + DAY + OVERLAP, 0)
    assert after.ca_bundle == both.ca_bundle
    operator = certificate_store.hosts("operator", "forefill")
    assert certificates.serves(after.serving, stored(cluster, CA), operator, NOW)
    assert after.serving != first.serving
    assert cluster.objects[CA]["metadata"]["annotations"] == {}
    last = await certificate_store.ensure(api, NAMES, after, NOW + 3 * DAY, 0)
    assert (last.serving, last.ca_bundle) == (after.serving, stored(cluster, CA).certificate.decode())
    assert sorted(cluster.objects[CA]["data"]) == ["tls.crt", "tls.key"]


async def test_an_operator_that_starts_in_between_goes_on_from_there(api: Api, cluster: Cluster) -> None:
    first = await certificate_store.ensure(api, NAMES, None, NOW, 0)
    cluster.objects[CA]["metadata"]["annotations"] = {"forefill.io/rotate-ca": "force"}
    both = await certificate_store.ensure(api, NAMES, first, NOW, 0)
    restarted = await certificate_store.ensure(api, NAMES, None, NOW, None)
    assert restarted.ca_bundle == both.ca_bundle
    assert certificates.serves(
        restarted.serving, stored(cluster, CA), certificate_store.hosts("operator", "forefill"), NOW
    )


@pytest.mark.parametrize("path", [CA, TLS])
async def test_a_missing_secret_is_told_with_what_helps(path: str, api: Api, cluster: Cluster) -> None:
    del cluster.objects[path]
    with pytest.raises(BrokenSecret, match="is missing; helm upgrade makes it again"):
        await certificate_store.ensure(api, NAMES, None, NOW)
