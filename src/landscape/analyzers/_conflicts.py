"""Images that show two classes, and for which of them a network decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Labels = NDArray[np.int64]
SWAP = ("phase", "amplitude")


@dataclass(frozen=True)
class Conflict:
    """Two cues that show different classes.

    Attributes
    ----------
    first, second
        Their names.
    decision
        ``(n,)``: 1 for the first, 0 for the second, -1 neither, -2 where there is no conflict.
    right
        ``(n,)``: whether the network knows both images that a mixture was made of.
    """

    first: str
    second: str
    decision: NDArray[np.int8]
    right: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """Both cues."""
        return f"{self.first}/{self.second}"


def partners(classes: Labels, seed: int) -> Labels:
    """For each image the number of one of another class: the next such in a random circle.

    Raises
    ------
    ValueError
        If all images are of one class.

    Examples
    --------
    >>> classes = np.array([0, 1, 1, 0])
    >>> bool((classes[partners(classes, seed=0)] != classes).all())
    True
    """
    if len(np.unique(classes)) < 2:
        raise ValueError("cues in conflict take images of two or more classes, there is one")
    order = np.random.default_rng(seed).permutation(len(classes))
    found = np.empty(len(classes), np.int64)
    following = -1
    for number in np.concatenate([order, order])[::-1]:  # twice around, so that all have a next
        if following >= 0 and classes[following] == classes[number]:
            found[number] = found[following]
        else:
            found[number] = following
        following = int(number)
    return found


def conflicts(
    plain: Labels,
    mixed: Labels,
    classes: Labels,
    partner: Labels,
    cue_labels: Mapping[str, Tensor],
) -> list[Conflict]:
    """Decisions for phase or amplitude, and for any two of the cues of the images as they are.

    Parameters
    ----------
    plain, mixed
        Decisions on the images, and on those with the amplitudes of their partners.
    classes, partner
        Of the images.
    cue_labels
        What each image shows.

    Raises
    ------
    ValueError
        If there is one cue only, or one has not as many labels as there are images.
    """
    if len(cue_labels) == 1:
        raise ValueError(f"one cue, '{next(iter(cue_labels))}', has nothing to be in conflict with")
    right = plain == classes
    swapped = _decided(mixed, classes, classes[partner], np.ones_like(right))
    found = [Conflict(*SWAP, swapped, right & right[partner])]
    shown = {name: _labels(name, values, len(classes)) for name, values in cue_labels.items()}
    for first, second in combinations(shown, 2):
        one, two = shown[first], shown[second]
        apart = one != two
        for third in shown.keys() - {first, second}:
            apart = apart & (shown[third] != one) & (shown[third] != two)
        found.append(
            Conflict(first, second, _decided(plain, one, two, apart), np.zeros_like(right))
        )
    return found


def _labels(name: str, values: Tensor, count: int) -> Labels:
    if tuple(values.shape) != (count,):
        raise ValueError(
            f"cue_labels['{name}'] has the shape {tuple(values.shape)}, there are {count} images"
        )
    found: Labels = values.cpu().numpy()
    return found


def _decided(
    answers: Labels, first: Labels, second: Labels, apart: NDArray[np.bool_]
) -> NDArray[np.int8]:
    codes = np.select([~apart, answers == first, answers == second], [-2, 1, 0], -1)
    return codes.astype(np.int8)
