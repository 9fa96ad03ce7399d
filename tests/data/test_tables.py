"""Dataset files: every key, where it may stand, and which one wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sd_scripts.data.table_keys import KEYS, SubsetKeys


def problems(plan):
    return [str(problem) for problem in plan.problems if problem.stops]


@pytest.fixture
def table(tmp_path, picture):
    """Writes a dataset file; {a} and {b} in it are folders of two images and of one."""
    places = {
        "{a}": str(picture("a/1.png").parent),
        "{b}": str(picture("b/1.png").parent),
        "{masks}": str(picture("masks/1.png").parent),
    }
    picture("a/2.png")

    def write(text, name="data.toml"):
        for mark, place in places.items():
            text = text.replace(mark, place)
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


TWO_DATASETS = """
[general]
shuffle_caption = true
keep_tokens = 1
resolution = [64, 96]
batch_size = 3

[[datasets]]
keep_tokens = 2
caption_prefix = "dataset"

[[datasets.subsets]]
image_dir = '{a}'
num_repeats = 4
class_tokens = "one"
shuffle_caption = false
caption_prefix = "subset"

[[datasets.subsets]]
image_dir = '{b}'

[[datasets]]
resolution = 64
batch_size = 1
validation_split = 0

[[datasets.subsets]]
image_dir = '{b}'
alpha_mask = true
flip_aug = true
face_crop_aug_range = [2, 4]
"""


def test_the_nearest_value_wins(table, planned):
    plan = planned(
        dataset_config=table(TWO_DATASETS), train_batch_size=9, caption_suffix="flag", dataset_repeats=5, color_aug=True
    )
    assert not problems(plan)
    first, second = plan.datasets
    assert (first.config.size, first.batch_size, second.config.size, second.batch_size) == ((64, 96), 3, (64, 64), 1)
    (one, two), (three,) = first.subsets, second.subsets
    assert [s.captions.shuffle_caption for s in (one, two, three)] == [False, True, True]
    assert [s.captions.keep_tokens for s in (one, two, three)] == [2, 2, 1]
    assert [s.captions.caption_prefix for s in (one, two, three)] == ["subset", "dataset", None]
    assert [s.captions.caption_suffix for s in (one, two, three)] == ["flag"] * 3
    assert [s.repeats for s in (one, two, three)] == [4, 5, 5]
    assert [s.dataset.flip_aug for s in (one, two, three)] == [False, False, True]
    assert [s.dataset.color_aug for s in (one, two, three)] == [True] * 3
    assert three.dataset.alpha_mask and three.dataset.face_range == (2.0, 4.0)
    assert {r.captions for r in first.records if r.subset is one} == {("one",)}


def test_false_in_a_file_wins_over_a_flag(table, planned):
    text = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{a}'\nshuffle_caption = false\nkeep_tokens = 0"
    (data,) = planned(dataset_config=table(text), shuffle_caption=True, keep_tokens=3).datasets
    assert (data.subsets[0].captions.shuffle_caption, data.subsets[0].captions.keep_tokens) == (False, 0)


def test_a_json_file_does_the_same(table, planned):
    tables = {"datasets": [{"batch_size": 2, "subsets": [{"image_dir": "{a}", "is_reg": False}]}]}
    (data,) = planned(dataset_config=table(json.dumps(tables), "data.json")).datasets
    assert (data.batch_size, len(data.records)) == (2, 2)


def test_regularization_images_and_masks_of_a_file(table, planned):
    text = """
    [[datasets]]
    [[datasets.subsets]]
    image_dir = '{a}'
    num_repeats = 3
    [[datasets.subsets]]
    image_dir = '{b}'
    is_reg = true
    [[datasets]]
    [[datasets.subsets]]
    image_dir = '{b}'
    conditioning_data_dir = '{masks}'
    """
    plan = planned(dataset_config=table(text), masked_loss=True)
    assert not problems(plan)
    assert (plan.num_train_images, plan.num_reg_images) == (7, 6)
    assert plan.datasets[1].records[0].mask_path is not None


def test_a_subset_twice_in_a_data_set_counts_once(table, planned):
    text = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{a}'\n[[datasets.subsets]]\nimage_dir = '{a}'"
    plan = planned(dataset_config=table(text))
    assert plan.num_train_images == 2
    assert "dataset_config: data.toml, data set 1: a stands in it twice; the later is left out." in map(
        str, plan.problems
    )


def test_custom_attributes_reach_the_records(table, planned):
    text = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{b}'\n[datasets.subsets.custom_attributes]\nkeep = true"
    plan = planned(dataset_config=table(text))
    assert plan.datasets[0].records[0].subset.attributes == {"keep": True}
    sentence = "data.toml, data set 1, subset 1: custom_attributes: No training acts on keep, so it has no effect."
    assert f"dataset_config: {sentence}" in map(str, plan.problems)


@pytest.mark.parametrize(("value", "sentences"), [
    ("true", []), ("false", []),
    ("'yes'", ["dataset_config: data.toml, data set 1, subset 1: custom_attributes: "
               "diff_output_preservation must be true or false."]),
])  # fmt: skip
def test_of_custom_attributes_one_is_acted_on(table, planned, value, sentences):
    marked = f"[datasets.subsets.custom_attributes]\ndiff_output_preservation = {value}"
    plan = planned(dataset_config=table(SUBSET + marked))
    assert [str(problem) for problem in plan.problems if "attributes:" in str(problem)] == sentences


SUBSET = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{b}'\n"


@pytest.mark.parametrize("text, sentence", [
    ("[general]\nshufle_caption = true\n" + SUBSET,
     "data.toml, general: There is no such key as shufle_caption. Did you mean shuffle_caption?"),
    ("[genral]\n" + SUBSET, "data.toml: There is no such table as genral. Did you mean general?"),
    ("[general]\nimage_dir = 'x'\n" + SUBSET,
     "data.toml, general: image_dir can't stand here; it belongs into subset."),
    (SUBSET + "batch_size = 2",
     "data.toml, data set 1, subset 1: batch_size can't stand here; it belongs into general or dataset."),
    (SUBSET + "prior_loss_weight = 0.5", "data.toml, data set 1, subset 1: There is no such key as prior_loss_weight."),
    (SUBSET + "keep_tokens = 'two'", "data.toml, data set 1, subset 1: keep_tokens: 'two' is not a whole number."),
    (SUBSET + "num_repeats = -1",
     "data.toml, data set 1, subset 1: num_repeats: -1 is out of range; it must be at least 0."),
    (SUBSET + "caption_dropout_rate = 2.0",
     "data.toml, data set 1, subset 1: caption_dropout_rate: 2.0 is out of range; it must be at most 1."),
    ("[[datasets]]\nbatch_size = 0\n[[datasets.subsets]]\nimage_dir = '{b}'",
     "data.toml, data set 1: batch_size: 0 is out of range; it must be at least 1."),
    ("[[datasets]]\nmin_bucket_reso = 128\n[[datasets.subsets]]\nimage_dir = '{b}'",
     "data.toml, data set 1: min_bucket_reso: 128 is above the shorter side of the resolution, 64; "
     "set it to 64 or less."),
    ("[[datasets]]\nresolution = 1280\n[[datasets.subsets]]\nimage_dir = '{b}'",
     "data.toml, data set 1: max_bucket_reso: 128 is below the longer side of the resolution, 1280; "
     "set it to 1280 or more."),
    ("[[datasets]]\n[[datasets.subsets]]\nclass_tokens = 'x'",
     "data.toml, data set 1, subset 1: It has no image_dir; give the folder that its images lie in."),
    ("[[datasets]]", "data.toml, data set 1: It has no subset; add a table [[datasets.subsets]] with an image_dir."),
    ("[general]", "data.toml: It has no data set; add a table [[datasets]] with a [[datasets.subsets]] in it."),
    ("datasets = 1",
     "data.toml: general must be a table, and datasets a list of tables, "
     "written [general] and [[datasets]]."),
    (SUBSET + "[[datasets.subsets]]\nmetadata_file = 'x'",
     "data.toml, data set 1: 1 of 2 subsets have metadata_file; give it in all or none, or make two data sets."),
    ("[[datasets]]\n[[datasets.subsets]]\nmetadata_file = 'x.json'\nis_reg = true",
     "data.toml, data set 1, subset 1: is_reg does not go with metadata_file."),
    (SUBSET + "conditioning_data_dir = 'x'",
     "data.toml, data set 1, subset 1: conditioning_data_dir needs masked_loss; turn it on, or take the key out."),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(table, planned, text, sentence):
    assert f"dataset_config: {sentence}" in problems(planned(dataset_config=table(text)))


def test_color_augmentation_in_a_subset_does_not_go_with_cached_latents(table, planned):
    assert problems(planned(dataset_config=table(SUBSET + "color_aug = true"), cache_latents=True)) == [
        "dataset_config: data.toml, data set 1, subset 1: color_aug: Color augmentation changes the pictures "
        "each time, so their latents can't be cached; turn one of the two off."
    ]


def test_flags_are_checked_with_what_the_file_says_beside_them(table, planned):
    """A size that would be wrong with the form's resolution is right with the file's; and one is told once."""
    own = "[[datasets]]\nresolution = 96\n[[datasets.subsets]]\nimage_dir = '{b}'"
    assert not problems(planned(dataset_config=table(own), min_bucket_reso=96))
    assert problems(planned(dataset_config=table(SUBSET), min_bucket_reso=96)) == [
        "dataset_config: data.toml, data set 1: min_bucket_reso: 96 is above the shorter side of the resolution, 64; "
        "set it to 64 or less."
    ]


def test_what_the_flags_say_wrong_by_themselves_is_not_told_of_each_subset(table, planned):
    flags = {"skip_cache_check": True, "face_crop_aug_range": "2,4", "keep_tokens": 1, "keep_tokens_separator": "|||"}
    assert not [p for p in planned(dataset_config=table(SUBSET), **flags).problems if p.key == "dataset_config"]


@pytest.mark.parametrize(
    ("more", "count"), [("", 1), ("alpha_mask = true", 0), ("conditioning_data_dir = '{masks}'", 0)]
)
def test_a_masked_loss_without_any_mask_is_said_to_do_nothing(table, planned, more, count):
    plan = planned(dataset_config=table(SUBSET + more), masked_loss=True)
    assert [p.key for p in plan.problems].count("masked_loss") == count


def test_validation_may_be_asked_for_by_the_file_alone(table, planned, config):
    settings = {
        "dataset_config": table("[[datasets]]\nvalidation_split = 0.5\n[[datasets.subsets]]\nimage_dir = '{a}'")
    }
    settings["validate_every_n_steps"] = 1
    assert planned(**settings).num_validation_images == 1
    assert not [p for p in config(**settings).relations() if p.key == "validate_every_n_steps"]


def test_all_problems_are_said_at_once(table, planned):
    text = "[general]\nx = 1\n[[datasets]]\ny = 2\nbatch_size = 0\n[[datasets.subsets]]\nz = 3\nkeep_tokens = -1"
    assert len(problems(planned(dataset_config=table(text)))) == 5


@pytest.mark.parametrize("name, content, words", [
    ("data.toml", "[general", "is not valid TOML"),
    ("data.json", "{", "is not valid JSON"),
    ("data.json", "[]", "must hold an object with general and datasets"),
    ("data.txt", "", "must end in .toml or .json; rename it"),
])  # fmt: skip
def test_a_file_that_cannot_be_read(table, planned, name, content, words):
    (sentence,) = problems(planned(dataset_config=table(content, name)))
    assert words in sentence and name in sentence


def test_a_missing_file(planned, tmp_path):
    file = tmp_path / "no.toml"
    assert problems(planned(dataset_config=str(file))) == [
        f"dataset_config: The file {file} does not exist; check its name."
    ]


def test_the_network_multiplier_of_sd_scripts_is_accepted_and_said_to_do_nothing(table, planned):
    plan = planned(dataset_config=table("[general]\nnetwork_multiplier = 0.5\n" + SUBSET))
    assert any("network_multiplier: No training reads it, so it has no effect." in str(p) for p in plan.problems)
    assert not problems(plan)


LEVELS = Path(__file__).parents[1] / "fixtures" / "names" / "dataset_keys.txt"
"""Key of sd-scripts' dataset files, and where it may stand with images, with a metadata file and with masks."""


def test_every_key_of_sd_scripts_may_stand_where_it_may_there():
    """Masks and random crops go together here, which sd-scripts refuses."""
    rows = [line.split("\t") for line in LEVELS.read_text(encoding="utf-8").splitlines()]
    kinds = ("dreambooth", "finetuning", "masked")
    ours = [[key, *(",".join(row.levels(kind)) or "-" for kind in kinds)] for key, row in KEYS.items()]
    assert sorted(ours) == sorted(rows)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_a_setting(key):
    from sd_scripts.config.load import parameters

    row = KEYS[key]
    if row.group == "own":
        assert row.setting in SubsetKeys.model_fields
    else:
        assert parameters()[row.setting].attribute == row.group


@pytest.mark.parametrize("name", ["dataset_folders", "dataset_metadata", "dataset_masks"])
def test_the_examples_are_right_but_for_their_places(planned, name):
    file = Path(__file__).parents[2] / "config_files" / f"{name}.toml"
    plan = planned(dataset_config=str(file), masked_loss=True, resolution="512", max_bucket_reso=1024)
    assert problems(plan)
    assert all("does not exist" in sentence or "can't be read" in sentence for sentence in problems(plan))
