"""What GET /v1/explain answers: one policy's or one client's explanation as JSON, or a sentence that says why not."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from forefill_operator.book import Book
from forefill_operator.controller import Controller
from forefill_operator.explanation import gathering

# So many are named when a name fits several.
MOST_NAMED = 5


class Answer(Struct, frozen=True):
    """`status` is HTTP's."""

    status: int
    body: bytes


def answer(controller: Controller, policy: str, client: str, now: float) -> Answer:
    """`policy` is [NAMESPACE/]NAME; `client` the pod's uid or [NAMESPACE/]NAME, empty for the policy as a whole."""
    if not policy:
        return _refusal(400, "policy=[NAMESPACE/]NAME is required")
    keys = _keys(policy, controller.served())
    if len(keys) != 1:
        return _refusal(404, _unclear(f"there is no TokenPolicy {policy} here", policy, keys))
    book = controller.books[keys[0]]
    if not client:
        return Answer(200, msgspec.json.encode(gathering.policy_facts(book, now)))
    uids = _uids(book, client)
    if len(uids) != 1:
        # A pod that was made anew has its old name.
        names = [f"{book.members[uid].client.name} (uid {uid})" for uid in uids]
        return _refusal(404, _unclear(f"TokenPolicy {keys[0]} has no client {client}", client, names))
    return Answer(200, msgspec.json.encode(gathering.client_facts(book, uids[0], now)))


def _uids(book: Book, client: str) -> list[str]:
    """The uid itself, else those of [NAMESPACE/]NAME."""
    if client in book.members:
        return [client]
    namespace, _, pod = client.rpartition("/")
    fitting = ((uid, member.client) for uid, member in book.members.items() if member.client.pod == pod)
    return [uid for uid, each in fitting if not namespace or each.namespace == namespace]


def _keys(policy: str, keys: Iterable[str]) -> list[str]:
    """NAMESPACE/NAME itself, else all of that name."""
    return sorted(key for key in keys if policy in (key, key.partition("/")[2]))


def _unclear(none: str, wanted: str, names: list[str]) -> str:
    if not names:
        return none
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{wanted} may be {', '.join(names[:MOST_NAMED])}{more}; say which"


def _refusal(status: int, sentence: str) -> Answer:
    return Answer(status, msgspec.json.encode({"error": sentence}))
