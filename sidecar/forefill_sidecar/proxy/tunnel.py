"""Two connections that pass each other's bytes unread, after the upstream switched protocols."""

from forefill_sidecar.proxy.asking_side import Client
from forefill_sidecar.proxy.link import Link


class Tunnel:
    """A side that has nothing more to say leaves the other one its say; when both have ended, so does the tunnel."""

    def __init__(self, client: Client, upstream: Link) -> None:
        self._client = client
        self._upstream = upstream
        self._ended_sides = 0

    def client_ended(self) -> None:
        self._upstream.write_eof()
        self._side_ended()

    def upstream_ended(self) -> None:
        self._client.write_eof()
        self._side_ended()

    def _side_ended(self) -> None:
        self._ended_sides += 1
        if self._ended_sides == 2:
            self._client.close()
