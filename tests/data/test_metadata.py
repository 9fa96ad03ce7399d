"""Metadata files, .json and .jsonl."""

from __future__ import annotations

import json
import os

import pytest
from PIL import Image

from sd_scripts.data.metadata import captions_of


def problems(plan):
    return [str(problem) for problem in plan.problems if problem.stops]


@pytest.fixture
def metadata(tmp_path):
    def write(entries, name="meta.json"):
        file = tmp_path / name
        file.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
        return str(file)

    return write


@pytest.mark.parametrize("entry, captions", [
    ({"caption": "a cat", "tags": "cat, grass"}, ("a cat,cat, grass",)),
    ({"caption": "a cat"}, ("a cat",)),
    ({"tags": "cat, grass"}, ("cat, grass",)),
    ({"caption": None, "tags": ""}, ("",)),
    ({"caption": "one\n\ntwo", "tags": "t"}, ("one,t", "two,t")),
])  # fmt: skip
def test_caption_and_tags_are_joined_by_the_separator(entry, captions):
    assert captions_of(entry, ",") == captions


def test_images_are_found_by_stem_by_name_by_relative_and_by_whole_path(picture, planned, metadata, tmp_path):
    whole = picture("d.webp")
    for name in ("a.png", "b.jpg", "deep/c.png"):
        picture(name)
    file = metadata({key: {"caption": key} for key in ("a", "b.jpg", "deep/c", str(whole))})
    plan = planned(in_json=file, train_data_dir=str(tmp_path / "images"), dataset_repeats=3)
    assert not problems(plan)
    assert [r.path.name for r in plan.datasets[0].records] == ["a.png", "b.jpg", "c.png", "d.webp"]
    assert plan.num_train_images == 12


def test_lines_of_jsonl(picture, planned, metadata):
    image = picture("a.png", (80, 64))
    file = metadata(json.dumps({"image_path": str(image), "caption": "x", "image_size": [1, 1]}) + "\n\n", "meta.jsonl")
    (record,) = planned(in_json=file).datasets[0].records
    assert (record.captions, record.size) == (("x",), (80, 64))


def test_images_without_words_get_an_empty_caption_and_a_notice(picture, planned, metadata):
    file = metadata({str(picture("a.png")): {}})
    assert [str(problem) for problem in planned(in_json=file).problems] == [
        f"in_json: 1 images in {file} have neither caption nor tags; they get an empty caption."
    ]


def test_images_that_are_animated_or_cut_off_are_named(picture, planned, metadata):
    whole, torn = picture("a.webp"), picture("b.jpg")
    with Image.open(whole) as first:
        first.save(whole, save_all=True, append_images=[first.rotate(90)])
    os.truncate(torn, torn.stat().st_size - 100)
    file = metadata({str(image): {"caption": "x"} for image in (whole, torn)})
    for _ in range(2):
        assert [str(problem) for problem in planned(in_json=file).problems] == [
            f"in_json: The image {torn} is cut off; copy or download it again, or take it out of the folder.",
            f"in_json: 1 image of {file} is animated ({whole}); only its first picture is trained.",
        ]


class TestSentences:
    def test_a_missing_file(self, planned, tmp_path):
        file = tmp_path / "no.json"
        assert problems(planned(in_json=str(file))) == [
            f"in_json: The metadata file {file} does not exist; check its name."
        ]

    def test_broken_json(self, planned, metadata):
        file = metadata('{"a": {},\n "b": }')
        assert problems(planned(in_json=file)) == [
            f"in_json: The metadata file {file} is not valid JSON at line 2; correct it or make it anew."
        ]

    def test_a_list(self, planned, metadata):
        file = metadata([1])
        assert problems(planned(in_json=file)) == [
            f"in_json: The metadata file {file} must hold an object with one object in it for each image."
        ]

    def test_a_line_without_a_path(self, planned, metadata):
        file = metadata('{"image_path": "a"}\n{"caption": "x"}', "meta.jsonl")
        assert problems(planned(in_json=file)) == [
            f"in_json: Line 2 of {file} has no image_path; each line is an object with image_path and caption."
        ]

    def test_no_images(self, planned, metadata):
        file = metadata({})
        assert problems(planned(in_json=file)) == [f"in_json: The metadata file {file} names no images; make it anew."]

    def test_an_image_that_is_not_there(self, picture, planned, metadata, tmp_path):
        picture("a.png")
        file, folder = metadata({"a": {"caption": "x"}, "b": {"caption": "x"}}), tmp_path / "images"
        assert problems(planned(in_json=file, train_data_dir=str(folder))) == [
            f"in_json: {file} names the image b, which isn't in {folder}; add it or take it out."
        ]

    def test_regularization_images(self, picture, planned, metadata):
        file = metadata({str(picture("a.png")): {"caption": "x"}})
        assert problems(planned(in_json=file, reg_data_dir="reg")) == [
            "reg_data_dir: A metadata file knows no regularization images; take one of the two out."
        ]


@pytest.mark.skipif(os.sep != "/", reason="there these are good paths")
@pytest.mark.parametrize("name, why", [
    ("C:\\cats\\a.png", "is a path of Windows; write it with / and as it is here, or make the file anew"),
    ("deep\\a.png", "is a path of Windows; write it with / and as it is here, or make the file anew"),
    ("/elsewhere/a.png", "does not exist; add it or take it out"),
])  # fmt: skip
def test_a_name_from_another_computer_is_told_apart_from_a_missing_image(picture, planned, metadata, name, why):
    folder = picture("a.png").parent
    file = metadata({name: {"caption": "x"}})
    assert problems(planned(in_json=file, train_data_dir=str(folder))) == [
        f"in_json: {file} names the image {name}, which {why}."
    ]


def test_a_missing_folder_is_said_once_and_not_for_each_image(planned, metadata, tmp_path):
    file = metadata({name: {"caption": name} for name in "abc"})
    assert problems(planned(in_json=file, train_data_dir=str(tmp_path / "no"))) == [
        f"in_json: The folder {tmp_path / 'no'} does not exist; give the one that the names in the metadata start at."
    ]


@pytest.mark.parametrize("key", ["caption", "tags"])
def test_a_list_in_place_of_a_text_is_refused(picture, planned, metadata, key):
    image = picture("a.png")
    file = metadata({str(image): {key: ["cat", "grass"]}})
    assert problems(planned(in_json=file)) == [
        f"in_json: The {key} of {image} in {file} is no text; write it as one, with commas between its parts."
    ]
