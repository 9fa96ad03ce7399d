"""Buckets: which size a picture is trained in. The numbers are worked out by hand from the rules in words."""

from __future__ import annotations

import pytest

from sd_scripts.data.buckets import Buckets, conditioning_crop, cover


def usual(resolution=(512, 512), lowest=256, highest=1024, step=64, no_upscale=False) -> Buckets:
    return Buckets(resolution, lowest, highest, step, no_upscale)


def test_the_table_of_512_px_is_the_known_one():
    assert usual().table == [
        (256, 832), (256, 896), (256, 960), (256, 1024), (320, 704), (320, 768), (384, 640), (448, 576), (512, 512),
        (576, 448), (640, 384), (704, 320), (768, 320), (832, 256), (896, 256), (960, 256), (1024, 256),
    ]  # fmt: skip


@pytest.mark.parametrize("resolution, lowest, highest, step", [
    ((512, 512), 256, 1024, 64), ((768, 768), 320, 1536, 32), ((64, 64), 32, 128, 8), ((512, 768), 300, 1000, 64),
])  # fmt: skip
def test_every_bucket_fits_the_area_and_the_limits(resolution, lowest, highest, step):
    area = resolution[0] * resolution[1]
    for width, height in usual(resolution, lowest, highest, step).table:
        assert width * height <= area
        assert width % step == height % step == 0
        assert min(width, height) >= lowest // step * step
        assert max(width, height) <= -(-highest // step) * step


def test_limits_are_brought_to_multiples_of_the_step():
    sides = {side for bucket in usual(lowest=300, highest=700).table for side in bucket}
    assert (min(sides), max(sides)) == (256, 704)


@pytest.mark.parametrize("size, bucket", [
    ((512, 512), (512, 512)),
    ((2000, 2000), (512, 512)),
    ((1024, 256), (1024, 256)),
    ((1920, 1080), (640, 384)),  # 1.78 is nearer to 1.67 than to 2.2
    ((600, 800), (448, 576)),
    ((100, 10000), (256, 1024)),
])  # fmt: skip
def test_a_picture_goes_where_its_shape_is_nearest(size, bucket):
    assert usual().fit(size).bucket == bucket


def test_a_picture_of_the_very_size_of_a_bucket_stays_as_it_is():
    fit = usual().fit((320, 768))
    assert (fit.bucket, fit.resize_to, fit.crop) == ((320, 768), (320, 768), (0, 0))


@pytest.mark.parametrize("size, resize_to, crop", [
    ((1000, 500), (1024, 512), (256, 0)),  # wider than the bucket: its height decides
    ((500, 1000), (512, 1024), (0, 256)),
    ((100, 103), (512, 527), (0, 7)),  # 527.36 rounds down, 15 too many, half of that is 7
])  # fmt: skip
def test_a_picture_covers_its_bucket_and_is_cut_in_the_middle(size, resize_to, crop):
    fit = cover(size, (512, 512))
    assert (fit.resize_to, fit.crop) == (resize_to, crop)


@pytest.mark.parametrize("size, resize_to, bucket", [
    ((300, 200), (300, 200), (256, 192)),  # within the area: not resized, only cut to whole steps
    ((512, 512), (512, 512), (512, 512)),
    # 1600x900: exact 682.67x384. By width 640x320 is 2.0, by height 640x384 is 1.667 against 1.778: height wins.
    ((1600, 900), (683, 384), (640, 384)),
    # 1000x3000: exact 295.6x886.8. By width 256x768 is exactly 1:3; by height 832 -> 256 is 1:3.25.
    ((1000, 3000), (256, 768), (256, 768)),
])  # fmt: skip
def test_without_enlarging_a_bucket_is_made_from_the_picture(size, resize_to, bucket):
    fit = usual(no_upscale=True).fit(size)
    assert (fit.resize_to, fit.bucket) == (resize_to, bucket)


def test_the_crop_that_sdxl_is_told_is_the_margin_of_the_whole_picture_in_the_bucket():
    assert conditioning_crop((1000, 500), (512, 512)) == (0, 128)
    assert conditioning_crop((500, 1000), (512, 512)) == (128, 0)
    assert conditioning_crop((512, 512), (512, 512)) == (0, 0)
