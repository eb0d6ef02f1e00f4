"""What a pod says to Forefill, and what Forefill leaves on it."""

import re
from collections.abc import Mapping

INJECT = "forefill.io/inject"
POLICY = "forefill.io/policy"
STATUS = "forefill.io/status"
INJECTED = "forefill.io/injected"

# Of the sidecar's container; on a pod or on a TokenPolicy.
CPU, CPU_LIMIT = "forefill.io/cpu", "forefill.io/cpu-limit"
MEMORY, MEMORY_LIMIT = "forefill.io/memory", "forefill.io/memory-limit"

_NAME = re.compile(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/)?[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
MOST_POLICIES = 16


class BadAnnotation(ValueError):
    """The sentence names the annotation, what it holds and what is allowed."""


def wants_sidecar(annotations: Mapping[str, str], *, by_default: bool = False) -> bool:
    """`by_default`: what holds for pods of this namespace that do not say."""
    return annotations[INJECT] == "true" if INJECT in annotations else by_default


def named_policies(annotations: Mapping[str, str], namespace: str) -> list[str]:
    """Keys (NAMESPACE/NAME) of the policies that the pod names, in its order; empty when it names none.

    Raises BadAnnotation.
    """
    text = annotations.get(POLICY, "")
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadAnnotation(
                f"annotation {POLICY} names {name!r}, but [NAMESPACE/]NAME, separated by commas, is expected"
            )
    keys = [name if "/" in name else f"{namespace}/{name}" for name in names]
    if len(set(keys)) < len(keys):
        raise BadAnnotation(f"annotation {POLICY} is {text!r}, but must name no policy twice")
    if len(keys) > MOST_POLICIES:
        raise BadAnnotation(
            f"annotation {POLICY} names {len(keys)} policies, but at most {MOST_POLICIES} fit in one pod"
        )
    return keys
