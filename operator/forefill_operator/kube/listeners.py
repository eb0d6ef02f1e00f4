"""What a pod's policies become in its sidecar: ports, variables, and the rates that hold until the operator answers."""

from collections.abc import Iterable, Mapping, Sequence, Set

from msgspec import Struct

from forefill_operator import grants
from forefill_operator.policy import SAFE_SHARE, TokenPolicy
from forefill_protocol import podsettings
from forefill_protocol.podsettings import PolicyListener

# A policy without clients yet expects this many, so that the first ones together stay within its safe share.
FEWEST_CLIENTS = 10


class Candidate(Struct, frozen=True):
    """A policy, how many clients its status counts, and its manifest's annotations."""

    policy: TokenPolicy
    clients: int = 0
    annotations: Mapping[str, str] = {}


class NotInjectable(Exception):
    """The pod asks for what can't be; the sentence says why."""


def make(chosen: Sequence[Candidate], declared: Set[int]) -> list[PolicyListener]:
    """One a policy: on its own port, or the next free one when another listener or a container of the pod has it.

    `declared` are the ports of the pod's containers. Raises NotInjectable.
    """
    if podsettings.HEALTH_PORT in declared:
        raise NotInjectable(f"a container declares port {podsettings.HEALTH_PORT}, which the sidecar's probes need")
    taken = {podsettings.HEALTH_PORT}
    served = []
    for candidate in chosen:
        port = _port(candidate, declared, taken)
        taken.add(port)
        served.append(_listener(candidate, port))
    return served


def _port(candidate: Candidate, declared: Set[int], taken: Set[int]) -> int:
    wanted, key = candidate.policy.spec.inject.port, candidate.policy.key
    if wanted in declared and not candidate.policy.spec.inject.env:
        # Without a variable that says so, nobody would find the sidecar on another port.
        raise NotInjectable(f"a container declares port {wanted}, which is inject.port of TokenPolicy {key}")
    for port in range(wanted, 65536):
        if port not in taken and port not in declared:
            return port
    raise NotInjectable(f"no port from {wanted} on is free for TokenPolicy {key}")


def _listener(candidate: Candidate, port: int) -> PolicyListener:
    policy, spec = candidate.policy, candidate.policy.spec
    rate = safe_rate(spec.fill_rate.max, candidate.clients)
    return PolicyListener(
        policy=policy.key,
        policy_uid=policy.uid,
        policy_generation=policy.generation,
        port=port,
        upstream=spec.upstream.url,
        upstream_ca_bundle=spec.upstream.ca_bundle,
        mode=spec.mode,
        safe_rate=rate,
        burst=rate * spec.burst.seconds,
        settings=grants.settings(spec),
    )


def safe_rate(highest_rate: float, clients: int) -> float:
    """Tokens/s of a pod that the operator never answered: twice the known clients fit into the policy's safe share."""
    return SAFE_SHARE * highest_rate / max(FEWEST_CLIENTS, 2 * clients)


def variables(chosen: Iterable[Candidate], served: Iterable[PolicyListener]) -> dict[str, str]:
    """Name and value of every variable that the pod's containers get. Raises NotInjectable."""
    values: dict[str, str] = {}
    for candidate, listener in zip(chosen, served, strict=True):
        for variable in candidate.policy.spec.inject.env:
            if variable.name in values:
                raise NotInjectable(f"two of the pod's TokenPolicies set the variable {variable.name}")
            values[variable.name] = f"http://127.0.0.1:{listener.port}{variable.path}"
    return values
