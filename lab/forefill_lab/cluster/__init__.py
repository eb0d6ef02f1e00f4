"""A real Kubernetes cluster of one node for the end-to-end tests, on a machine with or without Docker.

`available()` tells whether a cluster can be had, `ensure()` gives it. `python -m forefill_lab.cluster`
does the same from a shell; docs/cluster.md describes what is built and where it is kept.
"""

from .clusters import Cluster, available, end, ensure, existing
from .commands import ClusterError
from .progress import Progress

__all__ = ["Cluster", "ClusterError", "Progress", "available", "end", "ensure", "existing"]
