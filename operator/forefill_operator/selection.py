"""Does a policy admit a pod? Selectors mean what they mean in Kubernetes."""

from collections.abc import Mapping

from forefill_operator.policy import TokenPolicy
from forefill_operator.spec import LabelSelector, LabelSelectorRequirement


def admits(policy: TokenPolicy, namespace: str, labels: Mapping[str, str]) -> bool:
    """Without `clients.namespaces` only pods of the policy's own namespace are admitted."""
    clients = policy.spec.clients
    return namespace in (clients.namespaces or [policy.namespace]) and matches(clients.pod_selector, labels)


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """All of `matchLabels` and all of `matchExpressions` must hold; an empty selector matches everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


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
