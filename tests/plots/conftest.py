"""Made-up results that several files of tests draw."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr


@pytest.fixture(scope="session")
def plane() -> Callable[..., xr.Dataset]:
    return bowl


def bowl(model="resnet_s", family="conv", *, size=(11, 11), rise=4.0, radius=1.0, settings=None):
    """A bowl that saturates, as the loss around a minimum does."""
    alpha, beta = (radius * np.linspace(-1, 1, n) for n in size)
    x, y = np.meshgrid(alpha, beta, indexing="ij")
    nll = 0.8 + rise * (1 - np.exp(-(x**2) - 2 * y**2))
    l2 = 100 * (1 + 0.5 * (x**2 + y**2))
    dims = ("alpha", "beta")
    variables = {
        "nll": (dims, nll, {"long_name": "negative log-likelihood", "units": "nats"}),
        "nll_se": (dims, 0.01 * nll, {"long_name": "standard error", "units": "nats"}),
        "accuracy": (dims, np.exp(-nll), {"long_name": "accuracy", "units": "1"}),
        "l2": (dims, l2, {"long_name": "half the squared norm", "units": "1"}),
    }
    coords = {
        "alpha": ("alpha", alpha, {"long_name": "first direction", "units": "filter norms"}),
        "beta": ("beta", beta, {"long_name": "second direction", "units": "filter norms"}),
    }
    settings = {"weight_decay": 0.05} if settings is None else settings
    attrs = {"analyzer": "surface", "settings": json.dumps(settings), "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves", "cosine": 0.01}
    return xr.Dataset(variables, coords, attrs)
