import os

import pytest

from landscape.datasets.cifar10 import cache


@pytest.fixture(scope="session")
def cifar10():
    """Leave to use the cached CIFAR-10; its folder."""
    cached = (cache() / "cifar10-test.npz").exists() and (cache() / "cifar10-train.npz").exists()
    if not cached and os.environ.get("LANDSCAPE_DOWNLOAD") != "1":
        pytest.skip(f"CIFAR-10 is not in {cache()}; set LANDSCAPE_DOWNLOAD=1 to fetch it")
    return cache()


@pytest.fixture
def offline(monkeypatch):
    """A proxy that refuses every connection, on any machine."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # it keeps the proxies it first saw
