"""Which clients share among each other first: the policy's classes, and one class a namespace for the rest. Pure."""

from math import inf

from msgspec import Struct

from forefill_operator import selection
from forefill_operator.client import Client
from forefill_operator.policy import TokenPolicy

# The class of a namespace has a name that no class of a policy can have.
NAMESPACE_PREFIX = "namespace/"


class Group(Struct, frozen=True):
    """A class while it is served: rates in tokens/s are of all its clients together."""

    name: str
    weight: float = 1.0
    floor: float = 0.0
    ceiling: float = inf


class Groups:
    """The groups of one policy that any client has been in, each under an index that stays."""

    __slots__ = ("_indices", "_policy", "all")

    def __init__(self, policy: TokenPolicy) -> None:
        self._policy = policy
        self._indices: dict[str, int] = {}
        self.all: list[Group] = []

    def index_of(self, client: Client) -> int:
        """The first class that the pod matches, else its namespace's."""
        for each in self._policy.spec.clients.classes:
            if selection.matches(each.pod_selector, client.labels):
                ceiling = inf if each.ceiling is None else each.ceiling
                return self._index(Group(each.name, each.weight, each.floor, ceiling))
        return self._index(Group(f"{NAMESPACE_PREFIX}{client.namespace}"))

    def _index(self, group: Group) -> int:
        index = self._indices.get(group.name)
        if index is None:
            index = self._indices[group.name] = len(self.all)
            self.all.append(group)
        return index
