"""Pixels: resizing, cutting, augmentation, masks."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image

from sd_scripts.data import images
from sd_scripts.data.headers import BadImage
from sd_scripts.data.images import Draws
from sd_scripts.data.resize import resized


def shares(length: int, wanted: int) -> np.ndarray:
    """Row i: the share of each old pixel in new pixel i, computed pixel by pixel."""
    made = np.zeros((wanted, length))
    for new in range(wanted):
        start, stop = new * length / wanted, (new + 1) * length / wanted
        for old in range(length):
            made[new, old] = max(0.0, min(stop, old + 1) - max(start, old))
    return made * wanted / length


@pytest.mark.parametrize(
    "size, wanted", [((10, 7), (4, 3)), ((33, 20), (32, 20)), ((8, 8), (4, 2)), ((64, 5), (63, 1))]
)
def test_shrinking_takes_the_mean_of_the_covered_area(size, wanted):
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    expected = np.einsum(
        "ih,hwc,jw->ijc", shares(size[1], wanted[1]), picture.astype(float), shares(size[0], wanted[0])
    )
    assert np.abs(resized(picture, wanted, None) - expected).max() <= 0.5001


def test_enlarging_one_side_uses_lanczos():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize((16, 4), Image.Resampling.LANCZOS))
    assert (resized(picture, (16, 4), None) == expected).all()


@pytest.mark.parametrize("name", ["lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area", "box"])
def test_every_interpolation_makes_the_size_asked_for(name):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert resized(picture, (13, 9), name).shape == (9, 13, 3)


def test_interpolations_differ():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    made = {resized(picture, (13, 9), name).tobytes() for name in ("lanczos", "nearest", "bilinear", "bicubic", "area")}
    assert len(made) == 5


def record_of(plan):
    (record,) = plan.datasets[0].records
    return record


def drawn(seed: int, flip: bool = False) -> Draws:
    return Draws(Random(f"crop {seed}"), Random(f"color {seed}"), flip)


def test_a_picture_of_the_buckets_size_is_not_touched(picture, planned):
    file = picture("1_x/a.png", (64, 64))
    shown = images.show(record_of(planned()), drawn(0))
    assert (shown.pixels == np.asarray(Image.open(file))).all()
    assert shown.mask is None


def test_exif_rotation_is_applied(picture, planned):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = picture("1_x/a.png", (64, 80), exif=exif)
    record = record_of(planned())
    assert record.size == (80, 64)
    upright = np.rot90(np.asarray(Image.open(file)), -1)
    assert (images.load(file)[0] == upright).all()


@pytest.mark.parametrize(
    "mode, name",
    [("L", "a.png"), ("P", "a.png"), ("RGBA", "a.png"), ("LA", "a.png"), ("CMYK", "a.jpg"), ("1", "a.bmp")],
)
def test_pictures_of_every_kind_become_rgb(picture, planned, mode, name):
    picture(f"1_x/{name}", mode=mode)
    assert images.show(record_of(planned()), None).pixels.shape == (64, 64, 3)


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path):
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "a.png")
    assert images.load(tmp_path / "a.png")[0][0, 0].tolist() == [155] * 3  # 40000 / 257


def test_transparency_is_the_mask_where_asked_for(tmp_path, planned):
    folder = tmp_path / "images" / "1_x"
    folder.mkdir(parents=True)
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32, 3] = 255
    Image.fromarray(pixels).save(folder / "a.png")
    assert images.show(record_of(planned()), None).mask is None
    mask = images.show(record_of(planned(alpha_mask=True)), None).mask
    assert (mask[:, :32] == 255).all() and (mask[:, 32:] == 0).all()
    mirrored = images.show(record_of(planned(alpha_mask=True)), drawn(0, flip=True)).mask
    assert (mirrored == mask[:, ::-1]).all()


def test_a_picture_without_transparency_is_learned_whole(picture, planned):
    picture("1_x/a.png")
    assert (images.show(record_of(planned(alpha_mask=True)), None).mask == 255).all()


def test_the_red_channel_of_the_mask_image_counts_and_is_cut_like_the_picture(picture, planned, tmp_path):
    picture("1_x/a.png", (128, 64))
    mask = np.zeros((64, 128, 3), np.uint8)
    mask[:, 40:, 0], mask[:, :, 1] = 200, 99
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    made = planned(masked_loss=True, conditioning_data_dir=str(tmp_path / "masks"), enable_bucket=False)
    shown = images.show(record_of(made), None).mask
    assert (shown[:, :8] == 0).all() and (shown[:, 8:] == 200).all()  # the middle 64 of 128: 40 - 32 = 8


def test_a_mask_of_another_size_is_brought_to_the_pictures(picture, planned, tmp_path):
    picture("1_x/a.png", (64, 64))
    picture("masks/a.png", (16, 16))
    made = planned(masked_loss=True, conditioning_data_dir=str(tmp_path / "images" / "masks"))
    assert images.show(record_of(made), None).mask.shape == (64, 64)


class TestRandomCrop:
    def test_with_buckets_the_resized_picture_is_cut_anywhere(self, picture, planned):
        picture("1_x/a.png", (90, 64))
        record = record_of(planned(random_crop=True))
        whole = resized(images.load(record.path)[0], record.resize_to, None)
        cuts = {images.show(record, drawn(seed)).pixels.tobytes() for seed in range(60)}
        width, height = record.bucket
        places = [
            (left, top)
            for left in range(record.resize_to[0] - width + 1)
            for top in range(record.resize_to[1] - height + 1)
        ]
        assert cuts <= {whole[top : top + height, left : left + width].tobytes() for left, top in places}
        assert len(cuts) == len(places) > 1

    def test_without_buckets_a_larger_picture_is_cut_unresized(self, picture, planned):
        picture("1_x/a.png", (90, 70))
        record = record_of(planned(random_crop=True, enable_bucket=False))
        assert (record.bucket, record.resize_to) == ((64, 64), (90, 70))
        assert images.show(record, drawn(1)).pixels.shape == (64, 64, 3)

    def test_without_it_the_middle_is_taken_always(self, picture, planned):
        picture("1_x/a.png", (90, 64))
        record = record_of(planned())
        assert len({images.show(record, drawn(seed)).pixels.tobytes() for seed in range(10)}) == 1


class TestFaceCrop:
    def test_the_face_is_in_the_picture_and_as_large_as_asked_for(self, tmp_path, planned):
        folder = tmp_path / "images" / "1_x"
        folder.mkdir(parents=True)
        pixels = np.zeros((400, 600, 3), np.uint8)
        pixels[180:220, 480:520] = 255
        Image.fromarray(pixels).save(folder / "a_500_200_40_40.png")
        record = record_of(planned(face_crop_aug_range="2,4", enable_bucket=False))
        for seed in range(20):
            white = images.show(record, drawn(seed)).pixels[..., 0] > 127
            side = white.any(axis=0).sum()
            assert 64 / 4 - 1 <= side <= 64 / 2 + 1
            rows, columns = np.nonzero(white)
            assert abs(rows.mean() - 31.5) < 2 and abs(columns.mean() - 31.5) < 2

    def test_a_name_without_a_face_is_cut_as_ever(self, picture, planned):
        picture("1_x/a.png", (90, 64))
        record = record_of(planned(face_crop_aug_range="2,4", enable_bucket=False))
        assert len({images.show(record, drawn(seed)).pixels.tobytes() for seed in range(10)}) == 1


class TestColor:
    def test_a_third_of_the_pictures_changes_and_only_a_little(self, picture, planned):
        picture("1_x/a.png")
        record = record_of(planned(color_aug=True))
        plain = images.show(record, None).pixels.astype(int)
        made = [images.show(record, drawn(seed)).pixels.astype(int) for seed in range(300)]
        changed = sum((one != plain).any() for one in made)
        assert 70 <= changed <= 130
        assert max(np.abs(one - plain).mean() for one in made) < 40

    def test_brightness_is_a_power_of_the_value(self):
        pixels = np.full((4, 4, 3), 100, np.uint8)
        greys = {int(images.recolored(pixels, Random(seed))[0, 0, 0]) for seed in range(300)}
        assert min(greys) == pytest.approx(100**0.95, abs=2) and max(greys) == pytest.approx(100**1.05, abs=2)


def test_a_mirrored_picture_is_mirrored(picture, planned):
    picture("1_x/a.png")
    record = record_of(planned())
    upright, mirrored = (images.show(record, drawn(0, flip)).pixels for flip in (False, True))
    assert (mirrored == upright[:, ::-1]).all()


def test_values_run_from_minus_one_to_one():
    tensor = images.to_tensor(np.array([[[0, 255, 51]]], np.uint8))
    assert tensor.shape == (3, 1, 1)
    assert tensor.flatten().tolist() == pytest.approx([-1.0, 1.0, -0.6])


def test_a_picture_that_ends_in_the_middle_is_named(picture, planned):
    file = picture("1_x/a.png")
    record = record_of(planned())
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    sentence = f"The image {file} is broken or can't be read; replace it or take it out of the folder."
    with pytest.raises(BadImage, match="broken") as caught:
        images.show(record, None)
    assert str(caught.value) == sentence


def test_a_picture_that_changed_its_size_since_is_named(picture, planned):
    file = picture("1_x/a.png", (64, 64))
    record = record_of(planned())
    picture("1_x/a.png", (80, 64))
    with pytest.raises(BadImage) as caught:
        images.show(record, None)
    assert str(caught.value) == f"The image {file} has changed its size since the training was planned; start again."


def test_a_picture_of_3000_px_is_read(tmp_path, planned):
    folder = tmp_path / "images" / "1_x"
    folder.mkdir(parents=True)
    Image.new("RGB", (3500, 3000), (1, 2, 3)).save(folder / "a.jpg")
    assert images.show(record_of(planned()), None).pixels.shape[2] == 3
