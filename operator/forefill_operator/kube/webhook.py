"""The mutating webhook: an AdmissionReview comes in, and always one that allows the pod goes out."""

import base64
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from forefill_operator.kube import admission, annotations
from forefill_operator.kube.admission import Injection, Untouched
from forefill_operator.kube.injector_metrics import InjectorMetrics
from forefill_operator.kube.policy_cache import PolicyCache
from forefill_operator.kube.sidecar import Surface

PATH = "/inject"
# For namespaces that want a sidecar in every pod which does not refuse one.
DEFAULT_PATH = "/inject-by-default"
# The API server takes requests of up to 3 MiB; a review carries the pod once, and once more on update.
LONGEST_REVIEW = 7 * 1024 * 1024
# Clients show longer warnings cut off.
LONGEST_WARNING = 250

_log = logging.getLogger("forefill.injector")
Review = dict[str, Any]


class BadReview(ValueError):
    """The request is not an AdmissionReview of a pod."""


class Webhook:
    """`surface` gives what sidecars have in common at this moment."""

    def __init__(self, policies: PolicyCache, surface: Callable[[], Surface], metrics: InjectorMetrics) -> None:
        self._policies = policies
        self._surface = surface
        self._metrics = metrics

    def application(self) -> web.Application:
        application = web.Application(client_max_size=LONGEST_REVIEW)
        application.router.add_post(PATH, self._serve)
        application.router.add_post(DEFAULT_PATH, self._serve)
        return application

    async def _serve(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        try:
            asked = read_request(await request.read())
        except BadReview as bad:
            self._metrics.admitted("malformed", time.perf_counter() - started)
            return web.json_response({"error": str(bad)}, status=400)
        decision = await self._decide(asked, by_default=request.path == DEFAULT_PATH)
        self._metrics.admitted(result(decision), time.perf_counter() - started)
        return web.json_response(answer(asked["uid"], decision))

    async def _decide(self, asked: Review, *, by_default: bool) -> Injection | Untouched:
        pod, namespace = asked["object"], asked["namespace"]
        name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
        try:
            keys = annotations.named_policies(pod["metadata"].get("annotations") or {}, namespace)
            candidates = await self._policies.lookup(keys, namespace)
            decision = admission.decide(pod, namespace, candidates, self._surface(), by_default=by_default)
        except annotations.BadAnnotation as bad:
            decision = admission.refused(pod, str(bad))
        except Exception:
            # Whatever goes wrong here, nobody's pod is to be kept from starting by it.
            _log.exception("pod %s/%s could not be decided on", namespace, name)
            decision = Untouched("the injector failed; its log says why")
        about = {"client": f"{namespace}/{name}"}
        if isinstance(decision, Injection):
            policies = ",".join(decision.policies)
            _log.info("pod %s/%s gets a sidecar for %s", namespace, name, policies, extra={**about, "policy": policies})
        elif decision.reason:
            _log.warning("pod %s/%s gets no sidecar: %s", namespace, name, decision.reason, extra=about)
        return decision


def read_request(text: bytes) -> Review:
    """The `request` of an AdmissionReview of a pod. Raises BadReview."""
    try:
        review = json.loads(text)
        asked: Review = review["request"]
        if review["apiVersion"] != "admission.k8s.io/v1" or asked["object"]["kind"] != "Pod":
            raise BadReview("an admission.k8s.io/v1 AdmissionReview of a Pod is expected")
        if not (isinstance(asked["uid"], str) and isinstance(asked["namespace"], str)):
            raise BadReview("request.uid and request.namespace must be strings")
        if not (isinstance(asked["object"]["metadata"], dict) and isinstance(asked["object"]["spec"], dict)):
            raise BadReview("request.object must have metadata and spec")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadReview(f"not an AdmissionReview: {error}") from None
    return asked


def answer(uid: str, decision: Injection | Untouched) -> Review:
    """The AdmissionReview that answers `uid`."""
    response: Review = {"uid": uid, "allowed": True}
    if decision.operations:
        patch = base64.b64encode(json.dumps(decision.operations).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": patch}
    if isinstance(decision, Injection):
        if decision.bypassed:
            kept = ", ".join(decision.bypassed)
            response["warnings"] = [f"forefill: these variables were kept, their requests bypass it: {kept}"]
    elif decision.reason:
        response["warnings"] = [f"forefill: the pod gets no sidecar: {decision.reason}"]
    if "warnings" in response:
        response["warnings"] = [warning[:LONGEST_WARNING] for warning in response["warnings"]]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def result(decision: Injection | Untouched) -> str:
    """The word for it in metrics."""
    if isinstance(decision, Injection):
        return "injected"
    return "refused" if decision.reason else "untouched"
