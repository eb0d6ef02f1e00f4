"""What a ticket says of a client, and what a ticket that comes back proves. Pure; times are seconds since 1970."""

from collections.abc import Sequence

from msgspec.structs import replace

from forefill_operator import tickets
from forefill_operator.client import Client
from forefill_operator.policy import TokenPolicy
from forefill_operator.spec import LabelSelector
from forefill_operator.tickets import Key, Ticket
from forefill_protocol.messages import Assignment, Holding


def ticket_of(
    assignment: Assignment, client: Client, named_labels: Sequence[str], token: bytes, until: float, now: float
) -> Ticket:
    """For whom holds the token with this digest; a stream may open on it until `until`."""
    return Ticket(
        pod_uid=client.pod_uid,
        policy_uid=assignment.policy_uid,
        rate=max([assignment.fill_rate, *[step.fill_rate for step in assignment.steps]]),
        safe_rate=assignment.safe_rate,
        sequence=assignment.grant_sequence,
        issued_at=now,
        until=until,
        token=token,
        namespace=client.namespace,
        service_account=client.service_account,
        pod=client.pod,
        workload=client.workload,
        labels={name: client.labels[name] for name in named_labels if name in client.labels},
    )


def client_of(opened: Sequence[Ticket]) -> Client:
    """The pod that these tickets name; each holds the labels that its policy's selectors name."""
    first = opened[0]
    labels = {name: value for ticket in opened for name, value in ticket.labels.items()}
    return Client(first.namespace, first.service_account, first.pod, first.pod_uid, labels, first.workload)


def named_labels(policy: TokenPolicy) -> tuple[str, ...]:
    """The labels that decide whether and how the policy admits a pod."""
    clients = policy.spec.clients
    selectors = [clients.pod_selector, *(each.pod_selector for each in clients.classes)]
    return tuple(sorted({name for selector in selectors for name in _names(selector)}))


def _names(selector: LabelSelector) -> list[str]:
    return [*selector.match_labels, *(requirement.key for requirement in selector.match_expressions)]


def proven(holding: Holding, pod_uid: str, policy: TokenPolicy, keys: Sequence[Key], now: float) -> Holding:
    """The holding as far as its ticket proves it. Raises BadTicket.

    Where no ticket can be as old as a lease, since the keys are not, a holding without one is taken at its word: it is
    from an operator that gave out none.
    """
    if not holding.ticket and all(now - key.made_at < policy.spec.report.lease_seconds for key in keys):
        return holding
    ticket = tickets.unseal(holding.ticket, keys)
    lease_seconds = policy.spec.report.lease_seconds
    tickets.check_proves(ticket, pod_uid, policy.uid, holding.grant_sequence, lease_seconds, now)
    return replace(
        holding,
        fill_rate=min(holding.fill_rate, ticket.rate),
        safe_rate=min(holding.safe_rate, ticket.safe_rate),
    )


def unproven(holding: Holding) -> Holding:
    """As if there were no grant: what its holder may be using is then bounded by a safe share."""
    return replace(holding, grant_sequence=0, ticket=b"")
