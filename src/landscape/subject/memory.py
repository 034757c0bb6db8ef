"""How much memory second derivatives need, and how to make do with less."""

from dataclasses import replace

from landscape.subject.objective import Objective

_MARGIN = 1.25  # peaks above what the graphs hold: temporaries of both passes, fragments


def fit(objective: Objective, budget: int) -> Objective:
    """Give an objective the largest ``microbatch`` whose products fit in ``budget`` bytes.

    None where whole batches fit. Reckoned from the graphs of one and of two examples, so that
    nothing large is tried; the network itself and the data are not counted.

    Raises
    ------
    ValueError
        If not even one example fits, or the batch would have to be split and cannot be.

    Examples
    --------
    >>> import torch
    >>> batch = torch.zeros(8, 4), torch.zeros(8, dtype=torch.int64)
    >>> objective = Objective(torch.nn.Linear(4, 3), [batch])
    >>> fit(objective, 1 << 20).microbatch is None, fit(objective, 1 << 9).microbatch < 8
    (True, True)
    """
    largest = max(len(inputs) for inputs, _ in objective.batches)
    size = largest
    one = objective.graph_bytes(1)
    each = max(objective.graph_bytes(2) - one, 1) if largest > 1 else one
    weights = sum(p.nbytes for p in objective.parameters().values())
    fixed = max(one - each, 0) + 3 * weights  # first gradients, a product, sums: as measured
    if _MARGIN * (fixed + each * largest) > budget:
        size = int((budget / _MARGIN - fixed) / each)
    if size < 1:
        need = _MARGIN * (fixed + each)
        raise ValueError(
            f"a product with the {objective.matrix} needs {need / 2**30:.2g} GiB for one example, "
            f"more than the {budget / 2**30:.2g} GiB given"
        )
    return replace(objective, microbatch=None if size >= largest else size)
