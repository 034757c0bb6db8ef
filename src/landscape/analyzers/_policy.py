"""Which statistics normalise a network whose weights are moved."""

import re

from landscape.subject.forward import Statistics


def policy(text: str) -> tuple[Statistics, int]:
    """Read ``frozen``, ``batch`` or ``recal:M``: whose statistics, and of how many to measure them.

    Examples
    --------
    >>> policy("frozen"), policy("batch"), policy("recal:256")
    (('eval', 0), ('batch', 0), ('eval', 256))
    """
    if text == "frozen":
        return "eval", 0
    if text == "batch":
        return "batch", 0
    found = re.fullmatch(r"recal:(\d+)", text)
    if not found or int(found[1]) < 2:
        raise ValueError(
            f"batchnorm is frozen, batch or recal:M with M examples, 2 or more; not {text!r}"
        )
    return "eval", int(found[1])
