"""What a number or a text of the protocol may be. Numbers are finite; amounts are tokens, or tokens/s."""

from typing import Annotated, Literal

from msgspec import Meta

Amount = Annotated[float, Meta(ge=0.0, le=1e12)]
Coefficient = Annotated[float, Meta(ge=-100.0, le=100.0)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
PolicyName = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$")]
ShortText = Annotated[str, Meta(max_length=256)]
Sentence = Annotated[str, Meta(max_length=1024)]
Mode = Literal["Observe", "Enforce"]
Fallback = Literal["Safe", "Deny", "Open"]
