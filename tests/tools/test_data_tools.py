"""Metadata files, smaller pictures, and models in another layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sd_scripts.data.headers import size_of
from sd_scripts.errors import UserError
from sd_scripts.tools.metadata import cleaned_caption, cleaned_tags
from sd_scripts.tools.resize_images import scaled

from .conftest import run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """cat.png and dog.jpg with captions and tags, deep/owl.png without."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name, size in (("cat.png", (40, 20)), ("dog.jpg", (10, 10)), ("deep/owl.png", (8, 8))):
        Image.new("RGB", size, "red").save(folder / name)
    for name in ("cat", "dog"):
        (folder / f"{name}.caption").write_text(f"a {name}\nsecond line", encoding="utf-8")
        (folder / f"{name}.txt").write_text(f"{name}, red_hat", encoding="utf-8")
    return folder


def test_captions_and_tags_meet_in_one_file(pictures: Path, tmp_path: Path) -> None:
    cap, both = tmp_path / "cap.json", tmp_path / "both.json"
    run("merge_captions_to_metadata", pictures, cap)
    run("merge_dd_tags_to_metadata", pictures, both, "--in_json", cap)
    assert json.loads(cap.read_text("utf-8")) == {"cat": {"caption": "a cat"}, "dog": {"caption": "a dog"}}
    assert json.loads(both.read_text("utf-8"))["cat"] == {"caption": "a cat", "tags": "cat, red_hat"}


def test_a_picture_without_a_text_is_told_and_left_out(pictures: Path, tmp_path: Path) -> None:
    said = run("merge_captions_to_metadata", "--recursive", "--full_path", pictures, tmp_path / "out.json")
    assert said == [
        "Note: 1 picture without a .caption file, left out: owl.png.",
        f"Saved {tmp_path / 'out.json'}: caption of 2 pictures; 2 pictures in all.",
    ]
    assert list(json.loads((tmp_path / "out.json").read_text("utf-8"))) == [
        str(pictures / "cat.png"), str(pictures / "dog.jpg")
    ]  # fmt: skip


def test_what_the_file_to_write_holds_already_stays(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text(json.dumps({"cat": {"tags": "x"}, "bird": {"caption": "b"}}), encoding="utf-8")
    run("merge_captions_to_metadata", pictures, out)
    found = json.loads(out.read_text("utf-8"))
    assert found == {"cat": {"tags": "x", "caption": "a cat"}, "bird": {"caption": "b"}, "dog": {"caption": "a dog"}}


def test_training_reads_what_was_gathered(pictures: Path, tmp_path: Path) -> None:
    from sd_scripts.data.metadata import entries_of

    run("merge_dd_tags_to_metadata", pictures, tmp_path / "out.json")
    assert dict(entries_of(tmp_path / "out.json"))["dog"] == {"tags": "dog, red_hat"}


@pytest.mark.parametrize(
    ("tags", "cleaned"),
    [
        ("red_hat, cat", "red hat, cat"),
        ("^_^, o_o, rating:safe, long_hair", "^_^, o_o, long hair"),
        ("cat,cat ,  red_hat, red hat", "cat, red hat"),
        ("", ""),
    ],
)
def test_tags_are_cleaned(tags: str, cleaned: str) -> None:
    assert cleaned_tags(tags) == cleaned


def test_captions_are_cleaned() -> None:
    assert cleaned_caption("an  anime anime anime girl in in a hat") == "an anime girl in a hat"


def test_a_metadata_file_is_cleaned(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(
        json.dumps({"a": {"tags": "red_hat, rating:safe", "caption": "a a cat"}, "b": {"caption": "b"}}), "utf-8"
    )
    said = run("clean_captions_and_tags", tmp_path / "in.json", tmp_path / "out.json", "--debug")
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == {
        "a": {"tags": "red hat", "caption": "a cat"}, "b": {"caption": "b"}
    }  # fmt: skip
    assert said[0] == "a: 'a a cat' -> 'a cat'" and said[-1].endswith("2 texts of 2 pictures cleaned.")


@pytest.mark.parametrize(
    ("size", "most", "wanted"),
    [((40, 20), 200, (20, 10)), ((10, 10), 200, (10, 10)), ((1000, 10), 10, (31, 1)), ((600, 400), 512 * 512, (600, 400))],
)  # fmt: skip
def test_a_picture_keeps_its_shape(size: tuple[int, int], most: int, wanted: tuple[int, int]) -> None:
    assert scaled(*size, most) == wanted


def test_smaller_copies_are_made_with_their_captions(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run(
        "resize_images_to_resolution", pictures, out, "--max_resolution", "16x16,8x8", "--divisible_by", "4",
        "--copy_associated_files",
    )  # fmt: skip
    sizes = {file.name: size_of(file) for file in out.iterdir() if file.suffix in (".png", ".jpg")}
    assert sizes == {
        "cat+16x16.png": (20, 8), "cat+8x8.png": (8, 4), "dog+16x16.jpg": (8, 8), "dog+8x8.jpg": (8, 8)
    }  # fmt: skip
    assert (out / "cat+8x8.caption").read_text("utf-8").startswith("a cat")
    assert said == [f"Saved 2 pictures in 2 resolutions to {out}."]
    assert size_of(pictures / "cat.png") == (40, 20)


def test_a_rotated_picture_is_made_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 20)).save(tmp_path / "in" / "a.jpg", exif=exif)
    run("resize_images_to_resolution", tmp_path / "in", tmp_path / "out", "--max_resolution", "64x64", "--save_as_png")
    assert size_of(tmp_path / "out" / "a+64x64.png") == (20, 40)


SENTENCES = {
    "no folder": (["merge_captions_to_metadata", "nowhere", "o.json"],
                  "train_data_dir: There is no folder nowhere; check its spelling."),
    "no json": (["merge_captions_to_metadata", "x", "o.txt"], "out_json: o.txt does not end in .json; add that ending."),
    "no size": (["resize_images_to_resolution", "a", "b", "--max_resolution", "big"],
                "max_resolution: 'big' is not a resolution; write width and height as 512x512."),
    "same folder": (["resize_images_to_resolution", "a", "a"],
                    "dst_img_folder: a is one of the folders to read; give the result a name of its own."),
    "no metadata": (["clean_captions_and_tags", "nowhere.json", "o.json"],
                    "The metadata file nowhere.json does not exist; check its name."),
    "same model": (["convert_diffusers20_original_sd", "a", "a"],
                   "model_to_save: a is one of the files to read; give the result a name of its own."),
    "no model": (["convert_diffusers20_original_sd", "nowhere.safetensors", "b", "--v1"],
                 "model_to_load: There is no file or folder nowhere.safetensors; check its spelling, or give a Hugging "
                 "Face ID like owner/name."),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_is_wrong_is_told_in_a_sentence(argv: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        run(*argv)


def test_a_broken_picture_is_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "dog.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match="dog.jpg is broken or no picture; take it out of the folder"):
        run("resize_images_to_resolution", pictures, tmp_path / "out")


def test_a_model_goes_to_a_folder_and_back_bit_for_bit(original_file: Path, tmp_path: Path) -> None:
    folder, back = tmp_path / "folder", tmp_path / "back.safetensors"
    run("convert_diffusers20_original_sd", original_file, folder)
    run("convert_diffusers20_original_sd", folder, back)
    before, after = load_file(original_file), load_file(back)
    assert before.keys() <= after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (folder / "model_index.json").is_file()
