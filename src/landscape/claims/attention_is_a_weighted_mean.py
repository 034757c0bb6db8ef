"""Weights that are positive and sum to one make a low-pass filter."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from landscape.claims import Claim, Evidence, Reading, Summary
from landscape.claims._evidence import Numbers, Parts, Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, OPERATORS, images
from landscape.result import Result


def _heads(result: Result, control: str = "") -> Parts:
    """By how much each head damps the band that it passes best, more than the mean of the map."""
    if "head_gain" not in result:
        return Parts(np.empty(0), np.empty(0), images(result))
    chosen, prefix = _under(result, control)
    gain, error = (chosen[f"{prefix}head_gain{x}"].values for x in ("", "_se"))
    mean, of_mean = (chosen[f"{prefix}head_dc{x}"].values for x in ("", "_se"))
    with np.errstate(invalid="ignore"):  # layers with fewer heads
        return _below(
            gain.reshape(-1, gain.shape[-1]),
            error.reshape(-1, gain.shape[-1]),
            10 * np.log10(mean.ravel()),
            10 / np.log(10) * (of_mean / mean).ravel(),
            images(result),
        )


def _branches(result: Result) -> Parts:
    """The same of all that an attention adds to the stream, by its Jacobian."""
    part = result.sel(level="branch").isel(op=result["kind"].values.astype(str) == "msa")
    gain, error = part["gain"].values, part["gain_se"].values
    return _below(gain, error, part["dc"].values, part["dc_se"].values, images(result))


def _below(gain: Numbers, error: Numbers, mean: Numbers, of_mean: Numbers, count: int) -> Parts:
    there = np.isfinite(gain).any(1) & np.isfinite(mean)
    gain, error, mean, of_mean = gain[there], error[there], mean[there], of_mean[there]
    rows = np.arange(len(gain))
    best = np.nanargmax(gain, axis=1) if len(gain) else rows
    return Parts(mean - gain[rows, best], np.hypot(of_mean, error[rows, best]), count)


def _under(result: Result, control: str) -> tuple[Result, str]:
    return (result.sel(control=control), "control_") if control else (result, "")


def _least(every: Parts) -> Parts:
    """The one that speaks least for the claim, as all of them have to."""
    if not len(every.values):
        return every
    worst = [int(np.argmin(every.values))]
    return Parts(every.values[worst], every.errors[worst], every.count)


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def least(control: str = "") -> Units | str:
        def read(result: Result) -> Parts:
            return _least(_heads(result, control))

        return own(readings, OPERATORS.name, "msa", read, within="image")

    branch = own(readings, OPERATORS.name, "msa", lambda r: _least(_branches(r)), within="image")
    found = evidence(
        least(), {"untrained": least("untrained")}, {"that weights and values vary": branch}
    )
    each = own(readings, OPERATORS.name, "msa", _heads, within="image")
    if isinstance(each, str) or isinstance(each.values, Summary) or each.values.ndim < 2:
        return replace(found, parts=None)
    return replace(found, parts=each.values)


claim = Claim(
    title="Attention is a weighted mean, hence a low-pass filter",
    statement="The weights of self-attention are positive and sum to one: it averages, and so "
    "passes the mean and damps every wave.",
    source="the discussion of Park & Kim (2022); Wang et al. (2022)",
    statistic="power gain at zero frequency over that of the band of waves that it passes best, in "
    "the attention matrix of the head where this is least; parts: every head; mended: in the "
    "Jacobian of what the attention adds to the stream",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(OPERATORS,),
    evidence=_evidence,
    misleads="It does not follow: a token that looks at itself alone is a weighted mean too, and "
    "passes all. The gain of a band is a mean over waves; a single pattern may be amplified, and "
    "turned into the mean, by an attention sink by the root of the number of tokens.",
)
