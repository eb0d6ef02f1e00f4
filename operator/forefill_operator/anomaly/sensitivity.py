"""What a policy's `anomaly.sensitivity` means to the detectors."""

from collections.abc import Mapping

from msgspec import Struct


class Sensitivity(Struct, frozen=True, gc=False):
    """`ratio` multiplies the ratios of novelties; `deviations` how far a pod may be from its cohort."""

    ratio: float
    deviations: float


SENSITIVITIES: Mapping[str, Sensitivity] = {
    "Low": Sensitivity(ratio=1.15, deviations=12.0),
    "Medium": Sensitivity(ratio=1.0, deviations=8.0),
    "High": Sensitivity(ratio=0.9, deviations=5.0),
}
