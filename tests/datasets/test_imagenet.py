import shutil

import pytest
import torch
from PIL import Image
from timm.data import ImageNetInfo

from landscape.datasets import folder, load

NAMES = ImageNetInfo("imagenet-1k").label_names()


@pytest.fixture
def validation(tmp_path):
    """The folders of the validation set, with a picture in three of them."""
    root = tmp_path / "val"
    for name in NAMES:
        (root / name).mkdir(parents=True)
    for index, level in ((0, 10), (500, 20), (999, 30)):
        file = root / NAMES[index] / f"ILSVRC2012_val_{index:08d}.JPEG"
        Image.new("RGB", (40, 30), (level, level, level)).save(file, quality=100)
    return root


def test_sorted_folders_are_the_classes(validation):
    data = load(f"imagenet:{validation}", size=8)
    assert data.targets.tolist() == [0, 500, 999]
    assert [int(image.max()) for image in data.images] == [10, 20, 30]
    assert (data.classes[0], data.classes[999], len(data.classes)) == (
        "n01440764",
        "n15075141",
        1000,
    )
    assert (data.mean, data.std) == (folder.MEAN, folder.STD)
    assert load(f"imagenet:{validation}").images.shape[-2:] == (224, 224)
    assert len(load(f"imagenet:{validation}", limit=2, size=8)) == 2


def test_the_folder_above_has_the_splits(validation, tmp_path):
    above = load(f"imagenet:{tmp_path}", size=8)
    assert above.targets.tolist() == [0, 500, 999]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "ILSVRC2012_test_00000001.JPEG").write_bytes(b"unlabelled")
    assert torch.equal(load(f"imagenet:{tmp_path}", size=8).images, above.images)
    with pytest.raises(ValueError, match="has no train split, only test, val"):
        load(f"imagenet:{tmp_path}", split="train")
    shutil.rmtree(tmp_path / "test")
    shutil.copytree(validation, tmp_path / "train")
    (tmp_path / "train" / NAMES[0] / "ILSVRC2012_val_00000000.JPEG").unlink()
    assert load(f"imagenet:{tmp_path}", split="train", size=8).targets.tolist() == [500, 999]


def test_missing_and_foreign_classes_are_refused_with_a_remedy(validation):
    (validation / "cats").mkdir()
    with pytest.raises(ValueError, match="has 1 folders that are no class of ImageNet, as cats"):
        load(f"imagenet:{validation}")
    (validation / "cats").rename(validation / ".cats")
    assert len(load(f"imagenet:{validation}", size=8)) == 3
    for name in NAMES[1:3]:
        (validation / name).rmdir()
    with pytest.raises(ValueError, match="has 998 of the 1000 class folders") as caught:
        load(f"imagenet:{validation}")
    assert f"(there is no {NAMES[1]}); folder:{validation} takes other sets" in str(caught.value)
    assert len(load(f"folder:{validation}", size=8)) == 3  # the remedy works


def test_a_flat_folder_has_the_thousand_classes_too(tmp_path):
    for name in ("0042_a.png", "0999.png"):
        Image.new("RGB", (12, 12)).save(tmp_path / name)
    data = load(f"imagenet:{tmp_path}", size=8)
    assert data.targets.tolist() == [42, 999]
    assert len(data.classes) == 1000
    Image.new("RGB", (12, 12)).save(tmp_path / "1000_b.png")
    with pytest.raises(ValueError, match="images of class 1000; ImageNet has 0 to 999"):
        load(f"imagenet:{tmp_path}", size=8)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="imagenet needs a path"):
        load("imagenet")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load(f"imagenet:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="unknown split 'dev' of imagenet"):
        load(f"imagenet:{tmp_path}", split="dev")
    with pytest.raises(ValueError, match="holds no image"):
        load(f"imagenet:{tmp_path}")


def test_a_sample_of_the_validation_set(shared):
    data = load(f"imagenet:{shared / 'imagenet-sample'}", size=32)
    assert data.targets.tolist() == list(range(0, 1000, 8))
    for file in (shared / "imagenet-sample").glob("0992_*.jpg"):
        assert data.classes[992] == file.stem.partition("_")[2]
