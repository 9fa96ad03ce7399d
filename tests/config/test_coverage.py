"""docs/parameters_map.md: complete, true and up to date."""

import re

import pytest

from sd_scripts.config import coverage, load

NAMES = [(file, name) for file, _ in coverage._SECTIONS for name in coverage.read(coverage.NAMES / file)]


def test_the_lists_are_as_long_as_the_programs_are():
    lengths = {file: len(coverage.read(coverage.NAMES / file)) for file, _ in coverage._SECTIONS}
    assert lengths == {
        "train_network.txt": 193, "kohya_lora.txt": 296, "kohya_other.txt": 121, "train_readme.txt": 55,
        "lora_parameters.txt": 76, "network_args.txt": 58,
    }  # fmt: skip


def test_every_name_has_a_place_or_a_reason():
    assert [(file, name.key) for file, name in NAMES if coverage.place(name.key) is None] == []


def test_every_key_that_the_page_names_exists():
    told = re.findall(r"`(\w+)`", "\n".join(coverage.place(name.key) or "" for _, name in NAMES))
    assert [key for key in told if key not in load.parameters()] == []


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("noise_offset", "Noise: `noise_offset`"),
        ("max_resolution", "Dataset: `resolution`"),
        ("lr_warmup", "`lr_warmup_steps`, which takes a percentage"),
        ("deepspeed", "not offered: DeepSpeed is for models that fit on no single card, which these do; leave it out."),
        ("lumina_gemma2", "not offered: it is of Lumina models, which can't be trained here"),
        ("token_string", "Textual inversion: `token_string`"),
        ("nothing_at_all", None),
    ],
)
def test_a_place_is_a_section_and_key_or_a_reason(key, place):
    assert coverage.place(key) == place


def test_the_page_in_docs_is_up_to_date():
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.page(), "run: python -m sd_scripts.config.coverage"
