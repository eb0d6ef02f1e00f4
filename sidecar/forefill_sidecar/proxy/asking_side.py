"""What an exchange needs of the connection that its request came on."""

from typing import Protocol

from forefill_sidecar.line import Refusal


class Client(Protocol):
    """Sends the response in whatever form it is given. `peer` is None for a client inside the pod."""

    peer: str | None

    def write(self, data: bytes, /) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def finished(self) -> None:
        """The response is complete."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer 429."""

    def answer_problem(self, status: int, sentence: str) -> None:
        """Answer with an error of our own."""

    def tunnel_opened(self) -> None: ...
    def hold_body(self) -> None: ...
    def release_body(self) -> None: ...
    def hold_upstream(self) -> None: ...
    def release_upstream(self) -> None: ...
