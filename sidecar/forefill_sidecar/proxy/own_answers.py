"""What the sidecar answers itself, and whether the connection outlives it."""

from forefill_sidecar import answers
from forefill_sidecar.line import Refusal
from forefill_sidecar.proxy.exchange import Exchange
from forefill_sidecar.proxy.shared import Shared


def is_last(exchange: Exchange | None, shared: Shared) -> bool:
    """Whether an answer given now ends the connection: what is left of the request's body may be too much to skip."""
    if exchange is None or exchange.is_last or shared.is_draining:
        return True
    if exchange.is_request_done:
        return False
    head = exchange.request.head
    length = head.content_length
    return head.expects_continue or length is None or length > shared.limits.held_bytes


def refusal(refused: Refusal, exchange: Exchange | None, shared: Shared, is_last: bool) -> bytes:
    """429."""
    bucket, is_head = shared.gate.bucket, _is_head(exchange)
    return answers.refusal(refused, shared.policy, bucket.fill_rate, bucket.burst, bucket.tokens, is_last, is_head)


def problem(status: int, sentence: str, exchange: Exchange | None, is_last: bool) -> bytes:
    """Any other status."""
    return answers.problem(status, sentence, is_last, is_head=_is_head(exchange))


def _is_head(exchange: Exchange | None) -> bool:
    return exchange is not None and exchange.request.head.method == b"HEAD"
