"""The bounds of one listener. Each keeps a peer that is slow, greedy or gone from holding memory or connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are seconds, sizes bytes."""

    max_connections: int = 20_000
    # From a request's first byte to the end of its head.
    head_seconds: float = 10.0
    # Without any progress: a kept-alive client, a request's body, a response that the client doesn't take.
    idle_seconds: float = 120.0
    body_seconds: float = 60.0
    stalled_seconds: float = 300.0
    # How long to read on after a last response, so that its reader isn't cut off by a reset.
    linger_seconds: float = 2.0
    # Held per connection before reading pauses: a request that waits for tokens, pipelined requests, a slow peer.
    held_bytes: int = 64 * 1024
    connect_seconds: float = 5.0
    # Common servers keep idle connections for 5 s or more; whoever closes first loses no request.
    upstream_idle_seconds: float = 4.0
    upstream_max_idle: int = 4096
    resolve_seconds: float = 5.0
