"""ViTs are robust to high-frequency noise, CNNs to low-frequency noise."""

from collections.abc import Callable, Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Parts, contrast, least
from landscape.claims._first_order import NOISE, images
from landscape.result import Result


def _drop(band: int) -> Callable[[Result], Parts]:
    def read(result: Result) -> Parts:
        part = result.isel(band=[band])
        middle = part.isel(strength=part.sizes["strength"] // 2)
        return Parts(
            middle["accuracy_drop"].values, middle["accuracy_drop_se"].values, images(result)
        )

    return read


def _evidence(readings: Sequence[Reading]) -> Evidence:
    high = contrast(readings, NOISE.name, "conv", "msa", _drop(-1), within="image")
    low = contrast(readings, NOISE.name, "msa", "conv", _drop(0), within="image")
    return least([high, low])


claim = Claim(
    title="ViTs resist high-frequency noise, CNNs low-frequency noise",
    statement="ViTs are robust against high-frequency noise, CNNs are vulnerable to it; at low "
    "frequencies it is the other way round.",
    source="Park & Kim (2022), figure 2b",
    statistic="loss of accuracy under noise of one band and equal energy, middle strength: in the "
    "highest band convolutions minus self-attention, in the lowest the reverse; the lesser of the "
    "two is judged, as both have to hold",
    units="1",
    smallest=0.05,
    why="5 % of the images",
    analyses=(NOISE,),
    evidence=_evidence,
    misleads="Equal energy is not equal visibility: photographs have little power at high "
    "frequencies. The networks differ in clean accuracy.",
)
