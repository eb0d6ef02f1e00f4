"""One pod as a caller, known only by what the API server said of its token (standalone: what the token file says)."""

from collections.abc import Mapping

from msgspec import Struct


class Client(Struct, frozen=True):
    """`pod_uid` is the key everywhere: names are used again, uids are not. `labels` are the pod's, for selection.

    `workload` is what the pod is one of, such as Deployment/web; empty for a pod of its own.
    """

    namespace: str
    service_account: str
    pod: str
    pod_uid: str
    labels: Mapping[str, str] = {}
    workload: str = ""

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}"
