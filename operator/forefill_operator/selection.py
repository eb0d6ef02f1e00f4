"""Does a policy admit a pod? Selectors mean what they mean in Kubernetes."""

from collections.abc import Mapping

from forefill_operator.policy import TokenPolicy
from forefill_operator.spec import LabelSelector, LabelSelectorRequirement


def admits(policy: TokenPolicy, namespace: str, labels: Mapping[str, str]) -> bool:
    """Without `clients.namespaces` only pods of the policy's own namespace are admitted."""
    clients = policy.spec.clients
    is_near = namespace in clients.namespaces if clients.namespaces else namespace == policy.namespace
    return is_near and matches(clients.pod_selector, labels)


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """All of `matchLabels` and all of `matchExpressions` must hold; an empty selector matches everything."""
    # Every report asks, and most selectors are empty or short.
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return False
    for requirement in selector.match_expressions:
        if not _holds(requirement, labels):
            return False
    return True


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":  # holds for a pod without the label, too
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
