import numpy as np
import pytest
import torch
from PIL import Image

from landscape.datasets import folder, load


def picture(path, colour=(200, 100, 50), size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_subfolders_are_classes_in_sorted_order(tmp_path):
    picture(tmp_path / "zebra" / "a.png", (255, 0, 0))
    picture(tmp_path / "ant" / "b.jpg", (0, 255, 0))
    picture(tmp_path / "ant" / "c.webp", (0, 0, 255), lossless=True)
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    data = load(f"folder:{tmp_path}", size=16)
    assert data.classes == ("ant", "empty", "zebra")
    assert data.targets.tolist() == [0, 0, 2]
    assert data.images.shape == (3, 3, 16, 16)
    assert data.images.dtype == torch.uint8
    assert data.images[1, :, 8, 8].tolist() == [0, 0, 255]
    assert data.images[2, :, 8, 8].tolist() == [255, 0, 0]


def test_a_flat_folder_numbers_its_files(tmp_path):
    for name in ("0042_cat.png", "7-dog.PNG", "999.png"):
        picture(tmp_path / name)
    data = load(f"folder:{tmp_path}", size=8)
    assert data.targets.tolist() == [42, 7, 999]
    assert data.classes == ()
    picture(tmp_path / "12th_night.png")
    with pytest.raises(ValueError, match=r"'12th_night.png' does not start with a class index"):
        load(f"folder:{tmp_path}")


def test_split_folders_are_used_where_present(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png", (10, 0, 0))
    picture(tmp_path / "val" / "a" / "1.png", (20, 0, 0))
    assert load(f"folder:{tmp_path}", split="train", size=8).images.max() == 10
    assert load(f"folder:{tmp_path}", split="test", size=8).images.max() == 20
    (tmp_path / "val").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="has no test split, only train"):
        load(f"folder:{tmp_path}", split="test")
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        load(f"folder:{tmp_path}", split="dev")


def test_the_short_side_is_resized_and_the_centre_cropped(tmp_path):
    wide = np.zeros((64, 200, 3), np.uint8)
    wide[:, 68:132] = 255  # the central square is white, the rest black
    Image.fromarray(wide).save(tmp_path / "0_wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "1_tall.png")
    data = load(f"folder:{tmp_path}", size=32)
    assert data.images.min() == 255
    all_of_it = folder.load(str(tmp_path), size=64, crop=1.0, interpolation="bilinear")
    assert all_of_it.images.min() == 255
    default = load(f"folder:{tmp_path}", limit=1).images
    assert default.shape == (1, 3, 224, 224)


def test_a_fine_grating_is_antialiased(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "0.png")
    data = load(f"folder:{tmp_path}", size=56)
    assert 120 < data.images.min() <= data.images.max() < 136


def test_only_the_picked_files_are_decoded(tmp_path):
    for i in range(6):
        picture(tmp_path / f"{i}.png", (i, 0, 0))
    some = load(f"folder:{tmp_path}", size=8, limit=2, seed=3)
    assert some.targets.tolist() == some.images[:, 0, 0, 0].tolist()
    for i in set(range(6)) - set(some.targets.tolist()):
        (tmp_path / f"{i}.png").write_bytes(b"broken")
    again = load(f"folder:{tmp_path}", size=8, limit=2, seed=3)
    assert torch.equal(again.images, some.images)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    file = tmp_path / f"3_noise.{suffix}"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"3_noise.{suffix} cannot be decoded"):
        load(f"folder:{tmp_path}")


def test_grey_palette_and_transparent_files_become_rgb(tmp_path):
    Image.new("L", (20, 20), 77).save(tmp_path / "0.png")
    Image.new("RGB", (20, 20), (1, 2, 3)).quantize(4).save(tmp_path / "1.png", transparency=b"\xff")
    Image.new("RGBA", (20, 20), (9, 8, 7, 255)).save(tmp_path / "2.png")
    data = load(f"folder:{tmp_path}", size=8)
    assert data.images[:, :, 4, 4].tolist() == [[77] * 3, [1, 2, 3], [9, 8, 7]]
    Image.new("I;16", (20, 20), 40_000).save(tmp_path / "3.png")
    with pytest.raises(ValueError, match=r"3.png cannot be decoded: pixels of mode I;16"):
        load(f"folder:{tmp_path}", size=8)


def test_empty_and_ambiguous_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        load(f"folder:{tmp_path}")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="folder needs a path"):
        load("folder")
    picture(tmp_path / "0.png")
    picture(tmp_path / "a" / "0.png")
    with pytest.raises(ValueError, match="both beside and inside"):
        load(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match="unknown interpolation 'cubic'; choose bicubic, bilinear"):
        folder.load(str(tmp_path / "a"), interpolation="cubic")
    with pytest.raises(ValueError, match="crop"):
        folder.load(str(tmp_path / "a"), crop=1.5)
