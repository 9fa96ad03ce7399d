"""What a file says of its image before it is decoded."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sd_scripts.data import headers
from sd_scripts.data.headers import BadImage, Header

SIZE = (61, 43)
NOISE = Image.frombytes("RGB", SIZE, random.Random(1).randbytes(61 * 43 * 3))
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("a.jpg", {}),
    ("a.jpg", {"progressive": True}),
    ("a.png", {}),
    ("a.webp", {}),
    ("a.webp", {"lossless": True}),
    ("a.webp", {"exif": b"Exif\0\0MM\0*\0\0\0\b\0\0"}),
    ("a.bmp", {}),
    pytest.param("a.avif", {}, marks=pytest.mark.skipif(".avif" not in headers.readable_endings(), reason="no AVIF")),
]


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are looked at without opening them with Pillow, which takes many times as long."""
    monkeypatch.setattr(headers, "_by_pillow", lambda *_: pytest.fail("was opened"))


def decodes(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation, size", [(1, (60, 40)), (3, (60, 40)), (6, (40, 60)), (8, (40, 60))])
def test_a_size_is_that_of_the_picture_as_it_is_looked_at(
    tmp_path: Path, ending: str, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[headers.ORIENTATION] = orientation
    file = tmp_path / f"a.{ending}"
    Image.new("RGB", (60, 40)).save(file, exif=exif)
    assert headers.size_of(file) == size


@pytest.mark.parametrize(
    "mode, name",
    [("L", "a.png"), ("P", "b.png"), ("RGBA", "c.png"), ("CMYK", "d.jpg"), ("1", "e.bmp"), ("I;16", "f.png")],
)
def test_the_header_says_what_pillow_says(tmp_path: Path, mode: str, name: str) -> None:
    file = tmp_path / name
    Image.new(mode, (37, 53)).save(file)
    assert headers.size_of(file) == (37, 53)


def test_a_long_comment_before_the_size_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (37, 53)).save(file, comment=b"x" * 60000, progressive=True, quality=20)
    assert headers.size_of(file) == (37, 53)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize(("mode", "options"), [("RGB", {}), ("RGBA", {}), ("RGB", {"lossless": True})])
def test_webp_of_every_make_is_read_without_decoding_it(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    NOISE.convert(mode).resize((301, 1)).save(tmp_path / "a.webp", **options)
    assert headers.look(tmp_path / "a.webp") == Header(301, 1)


def test_a_picture_turned_by_xmp_is_seen_as_it_is_looked_at(tmp_path: Path) -> None:
    NOISE.save(tmp_path / "a.webp", xmp=b'<x tiff:Orientation="6"/>')
    assert headers.size_of(tmp_path / "a.webp") == SIZE[::-1]


@pytest.mark.parametrize(("name", "options"), KINDS)
def test_a_file_is_cut_off_where_no_decoder_gets_to_the_end_of_the_picture(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    file = tmp_path / name
    NOISE.save(file, **options)
    assert headers.size_of(file) == SIZE
    for length in [file.stat().st_size - 1, *range(file.stat().st_size - 13, 300, -500)]:
        os.truncate(file, length)
        if decodes(file):
            assert headers.size_of(file) == SIZE
            continue
        with pytest.raises(BadImage) as caught:
            headers.look(file)
        assert str(caught.value) == (
            f"The image {file} is cut off; copy or download it again, or take it out of the folder."
        )
    assert not decodes(file)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize(("name", "options"), KINDS[:-2])
def test_what_a_camera_put_behind_the_picture_is_no_doubt(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    NOISE.save(tmp_path / name, **options)
    with (tmp_path / name).open("ab") as file:
        file.write(b"a film" * 2000)
    assert headers.size_of(tmp_path / name) == SIZE


def test_the_end_of_a_small_picture_within_is_not_the_end(tmp_path: Path) -> None:
    """Cameras keep one among the notes on the photograph."""
    small, file = io.BytesIO(), tmp_path / "a.jpg"
    NOISE.save(small, "JPEG", quality=20)
    NOISE.save(file, comment=small.getvalue())
    os.truncate(file, file.stat().st_size - 300)
    with pytest.raises(BadImage, match="is cut off"):
        headers.look(file)


def test_an_end_that_was_never_filled_in_is_cut_off(tmp_path: Path) -> None:
    """Some programs give a file its length before they download it."""
    file = tmp_path / "a.png"
    NOISE.save(file)
    length = file.stat().st_size
    os.truncate(file, length // 2)
    os.truncate(file, length)
    with pytest.raises(BadImage, match="is cut off"):
        headers.look(file)


@pytest.mark.parametrize(("name", "animated"), [("a.png", True), ("a.webp", True), ("a.avif", True), ("a.jpg", False)])
def test_several_pictures_in_a_file_are_an_animation_but_not_in_a_photograph(
    tmp_path: Path, name: str, animated: bool
) -> None:
    if Path(name).suffix not in headers.readable_endings():
        pytest.skip("this Pillow can't read it")
    more = {"format": "MPO", "xmp": b'<x tiff:Orientation="1"/>'} if name == "a.jpg" else {}
    NOISE.save(tmp_path / name, save_all=True, append_images=[NOISE.rotate(180)], **more)
    assert headers.look(tmp_path / name) == Header(*SIZE, animated)


def test_a_png_of_one_frame_is_not_animated(tmp_path: Path) -> None:
    NOISE.save(tmp_path / "a.png", save_all=True)
    assert headers.look(tmp_path / "a.png") == Header(*SIZE)
