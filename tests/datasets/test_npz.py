import numpy as np
import pytest
import torch

from landscape.datasets import load

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 12, 10, 3), np.uint8)
TARGETS = np.array([0, 1, 2, 2, 1, 0])


@pytest.fixture
def store(tmp_path):
    def write(**arrays):
        file = tmp_path / "set.npz"
        np.savez(file, **({"images": IMAGES, "targets": TARGETS} | arrays))
        return f"npz:{file}"

    return write


def test_both_layouts_give_the_same_images(store):
    last = load(store())
    first = load(store(images=IMAGES.transpose(0, 3, 1, 2)))
    assert last.images.shape == (6, 3, 12, 10)
    assert torch.equal(last.images, first.images)
    assert last.targets.dtype == torch.int64
    assert last.targets.tolist() == TARGETS.tolist()
    assert last.classes == ("0", "1", "2")


def test_statistics_are_measured_unless_given(store):
    data = load(store())
    scaled = IMAGES / 255
    assert data.mean == pytest.approx(scaled.mean((0, 1, 2)), rel=1e-12)
    assert data.std == pytest.approx(scaled.std((0, 1, 2)), rel=1e-12)
    given = load(store(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6], classes=["a", "b", "c"]))
    assert (given.mean, given.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert given.classes == ("a", "b", "c")


def test_a_limit_picks_by_seed_and_a_size_crops_the_centre(store):
    some = load(store(), limit=3, seed=5)
    index = np.random.default_rng(5).permutation(6)[:3]
    assert np.array_equal(some.images.numpy(), IMAGES[index].transpose(0, 3, 1, 2))
    assert some.targets.tolist() == TARGETS[index].tolist()
    square = load(store(), size=10)  # the short side is 10 already: a crop alone
    assert np.array_equal(square.images.numpy(), IMAGES[:, 1:11].transpose(0, 3, 1, 2))
    assert load(store(), size=32).images.shape == (6, 3, 32, 32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES / 255}, r"float64, not uint8; store \(255 \* images\)"),
        ({"images": IMAGES.astype(np.int64)}, "int64, not uint8; store integers"),
        ({"images": IMAGES[..., :2]}, r"shape \(6, 12, 10, 2\); expected"),
        ({"images": IMAGES[:, :3]}, r"shape \(6, 3, 10, 3\); expected"),
        ({"images": IMAGES[0]}, r"shape \(12, 10, 3\); expected"),
        ({"images": IMAGES[:0], "targets": TARGETS[:0]}, r"shape \(0, 12, 10, 3\)"),
        ({"targets": TARGETS[:5]}, r"shape \(5,\); expected \(6,\)"),
        ({"targets": TARGETS / 2}, "targets are float64; expected integers"),
        ({"targets": TARGETS - 1}, "run from -1 to 1; expected 0 and up"),
        ({"classes": ["a", "b"]}, r"run from 0 to 2; expected 0..1"),
        ({"classes": [1, 2, 3]}, "not a list of names"),
        ({"targets": np.array([0, 1, None, 2, 1, 0])}, "arrays that are not of objects"),
        ({"mean": [0.1, 0.2]}, r"mean is \[0.1, 0.2\]; expected 3 numbers"),
        ({"mean": [120.0, 110.0, 100.0]}, "divide it by 255"),
        ({"std": [0.1, 0.0, 0.1]}, "store a positive 'std'"),
        ({"std": [0.1, float("nan"), 0.1]}, "expected 3 numbers"),
        ({"images": np.full_like(IMAGES, 7)}, "store a positive 'std'"),
    ],
)
def test_unfit_arrays_are_refused_with_a_remedy(store, arrays, message):
    with pytest.raises(ValueError, match=message):
        load(store(**arrays))


def test_unfit_files_are_refused(tmp_path):
    file = tmp_path / "set.npz"
    with pytest.raises(FileNotFoundError, match=r"set.npz is not a file"):
        load(f"npz:{file}")
    with pytest.raises(ValueError, match="npz needs a path"):
        load("npz")
    np.savez(file, images=IMAGES)
    with pytest.raises(ValueError, match="has no array 'targets', only images"):
        load(f"npz:{file}")
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"not an archive", b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read as .npz"):
            load(f"npz:{file}")
    with file.open("wb") as stream:
        np.save(stream, IMAGES)
    with pytest.raises(ValueError, match=r"cannot be read as .npz"):
        load(f"npz:{file}")
