"""Where the app may look and write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kohya_gui import access
from kohya_gui.access import ROOT, NotAllowed, Rules, allowed
from sd_scripts.config import load


@pytest.fixture(autouse=True)
def rules(tmp_path: Path) -> Iterator[Path]:
    before = access.rules()
    (tmp_path / "mine" / "closed").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    access.use(Rules((tmp_path / "mine", ROOT), (tmp_path / "mine",)).without(tmp_path / "mine" / "closed"))
    yield tmp_path
    access.use(before)


@pytest.mark.parametrize(("path", "write", "expected"), [
    ("mine", False, True),
    ("mine/a/b.png", True, True),
    ("mine/../mine/a", False, True),
    ("mine/../other", False, False),
    ("other/a.png", False, False),
    ("minety", False, False),
    ("mine/closed", False, False),
    ("mine/closed/users", True, False),
    ("mine/a\0b", False, False),
])  # fmt: skip
def test_a_place_is_allowed_or_not(rules: Path, path: str, write: bool, expected: bool) -> None:
    assert is_allowed(f"{rules}/{path}", write) == expected


def is_allowed(path: str, write: bool = False) -> bool:
    try:
        allowed(path, write=write)
    except NotAllowed:
        return False
    return True


def test_links_do_not_lead_out(rules: Path) -> None:
    (rules / "mine" / "link").symlink_to(rules / "other")
    (rules / "mine" / "back").symlink_to(rules / "mine")
    assert not is_allowed(f"{rules}/mine/link/a.png")
    assert allowed(rules / "mine" / "back" / "a.png") == rules / "mine" / "a.png"


def test_relative_paths_start_at_the_program() -> None:
    assert allowed("presets/lora") == ROOT / "presets" / "lora"
    assert not is_allowed("../secret")
    assert not is_allowed("presets/lora", write=True)


def test_the_sentence_names_what_is_allowed_and_what_to_do(rules: Path) -> None:
    with pytest.raises(NotAllowed) as error:
        allowed("/etc/passwd", write=True)
    assert str(error.value) == (
        f"/etc/passwd lies outside the folders that the app may write to ({rules}/mine); choose a place in them, "
        "or start the app with --allow /etc."
    )
    assert error.value.opens == ""


def test_where_only_this_machine_gets_in_a_folder_can_be_allowed_at_once(rules: Path) -> None:
    access.use(Rules((rules / "mine",), (), can_grow=True).without(rules / "mine" / "closed"))
    (found,) = access.problems(load.parameters().values(), {"output_dir": f"{rules}/other/new/er"})
    assert isinstance(found, access.Outside) and found.opens == f"{rules}/other"
    assert f"or allow {rules}/other (on the Settings page, or with --allow {rules}/other" in found.message
    (shut,) = access.problems(load.parameters().values(), {"train_data_dir": f"{rules}/mine/closed"})
    assert isinstance(shut, access.Outside) and shut.opens == ""
    (disk,) = access.problems(load.parameters().values(), {"output_dir": "/no/such/place"})
    assert isinstance(disk, access.Outside) and disk.opens == ""


def test_what_is_not_there_is_not_asked_to_be_allowed() -> None:
    access.use(Rules.at_home())
    with pytest.raises(NotAllowed) as error:
        allowed("/home/someone/img")
    assert str(error.value) == "/home/someone/img does not exist; check its name or choose another place."
    access.use(Rules.in_the_open())
    with pytest.raises(NotAllowed, match="lies outside"):  # who may not look there is not told what there is
        allowed("/home/someone/img")


def test_where_others_can_come_in_only_what_the_app_makes_is_open(tmp_path: Path) -> None:
    access.use(Rules.in_the_open([tmp_path / "data"]))
    assert is_allowed(f"{tmp_path}/data/a.png", write=True)
    assert is_allowed("outputs/a.safetensors", write=True)
    assert is_allowed("sd_scripts/starter/model")
    assert not is_allowed("sd_scripts/starter/model/unet", write=True)
    assert not is_allowed("sd_scripts/train.py")
    assert not is_allowed("kohya_gui/app.py", write=True)
    assert not is_allowed(str(Path.home()))


def test_where_only_this_machine_gets_in_the_users_own_folder_is_open() -> None:
    access.use(Rules.at_home())
    assert is_allowed(f"{Path.home()}/pictures", write=True)
    assert not is_allowed("/etc/passwd")


def keys(flat: dict[str, object]) -> list[str]:
    return [problem.key for problem in access.problems(load.parameters().values(), flat)]


def test_every_field_that_names_a_place_is_judged(rules: Path) -> None:
    inside, outside = f"{rules}/mine/a", f"{rules}/other/a"
    assert keys({"train_data_dir": inside, "output_dir": inside, "vae": "stabilityai/sd-vae"}) == []
    assert keys({"train_data_dir": outside, "output_dir": "outputs", "base_weights": [inside, outside], "vae": "../x"}) == [
        "vae", "train_data_dir", "base_weights", "output_dir",
    ]  # fmt: skip


def test_the_folders_in_a_datasets_file_are_judged_too(rules: Path) -> None:
    file = rules / "mine" / "data.toml"
    file.write_text(f'[[datasets]]\n[[datasets.subsets]]\nimage_dir = "{rules}/other"\n')
    (found,) = access.problems(load.parameters().values(), {"dataset_config": str(file)})
    assert found.key == "dataset_config" and f"{rules}/other lies outside" in found.message
