"""Folders for training are copies; what was there before stays as it was."""

from __future__ import annotations

import hashlib

import pytest
from PIL import Image

from sd_scripts import plan
from sd_scripts.config import load
from sd_scripts.curation import prepared
from sd_scripts.curation.prepared import CannotPrepare, Part


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = tmp_path / "my pictures"
    (place / "inner").mkdir(parents=True)
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (64, 64)).save(place / name)
    (place / "a.txt").write_text("a cat", encoding="utf-8")
    (place / "b.caption").write_text("another", encoding="utf-8")
    (place / "notes.md").write_text("private", encoding="utf-8")
    (place / ".hidden.txt").write_text("private", encoding="utf-8")
    return place


def everything(folder):
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_images_and_captions_are_copied_and_planned(pictures, tmp_path):
    before = everything(pictures)
    parts = [Part(pictures, 5, " sks  cat "), Part(pictures, 1, "cat", is_reg=True)]
    made = prepared.prepare(parts, tmp_path / "set")
    assert everything(pictures) == before
    copies = {path.name for path in (made.training / "5_sks cat").iterdir()}
    assert copies == {"a.png", "b.jpg", "a.txt", "b.caption"}
    assert made.files == 8 and made.regularization == tmp_path / "set" / "reg"
    assert [path.name for path in (tmp_path / "set").iterdir() if path.name.startswith(".")] == []
    settings = {
        "train_data_dir": str(made.training),
        "reg_data_dir": str(made.regularization),
        "resolution": "64",
        "min_bucket_reso": 64,
    }
    planned = plan.make(load.from_flat(settings).unwrap())
    assert (planned.num_train_images, planned.num_reg_images) == (10, 10)


def test_another_folder_can_be_added_to_a_set(pictures, tmp_path):
    prepared.prepare([Part(pictures, 5, "sks cat")], tmp_path / "set")
    prepared.prepare([Part(pictures, 2, "sks dog")], tmp_path / "set")
    assert sorted(path.name for path in (tmp_path / "set" / "img").iterdir()) == ["2_sks dog", "5_sks cat"]


@pytest.mark.parametrize("change, sentence", [
    ({"words": "a/b"}, "'a/b' can't be part of a folder's name because of '/'; leave that out."),
    ({"words": " "}, "There are no words for the images; give identifier and class, such as sks dog."),
    ({"repeats": 0}, "0 repeats of sks cat are too few; give 1 or more."),
    ({"is_reg": True}, "There is no folder of training images; choose one."),
])  # fmt: skip
def test_what_can_t_be_made_is_said(pictures, tmp_path, change, sentence):
    part = Part(**{"source": pictures, "repeats": 5, "words": "sks cat", **change})
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([part], tmp_path / "set")
    assert str(error.value) == sentence
    assert not (tmp_path / "set").exists()


def test_nothing_is_written_over(pictures, tmp_path):
    target = tmp_path / "set"
    prepared.prepare([Part(pictures, 5, "sks cat")], target)
    before = everything(target)
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(pictures, 5, "sks cat")], target)
    assert (
        str(error.value)
        == f"There is already a folder {target / 'img' / '5_sks cat'}; choose another name for the copy."
    )
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(pictures, 1, "x"), Part(pictures, 1, "x")], target)
    assert str(error.value) == "Two folders would be called 1_x; give them different words."
    assert everything(target) == before


def test_places_that_make_no_sense_are_refused(pictures, tmp_path):
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(pictures, 1, "x")], pictures / "set")
    assert (
        str(error.value)
        == f"{pictures / 'set'} lies inside {pictures}, which is copied; choose another name for the copy."
    )
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(pictures / "inner", 1, "x")], tmp_path / "set")
    assert str(error.value) == f"The folder {pictures / 'inner'} holds no images; choose another."
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(tmp_path / "nowhere", 1, "x")], tmp_path / "set")
    assert str(error.value) == f"There is no folder {tmp_path / 'nowhere'}; check its name."


def test_a_full_disk_is_noticed_before_anything_is_copied(pictures, tmp_path, monkeypatch):
    usage = prepared.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(pictures, 1, "x")], tmp_path / "set")
    assert str(error.value) == f"The copies need 0 MB and 1 MB are free where {tmp_path / 'set'} lies; make room first."


def test_copies_that_break_off_leave_nothing_half_made(pictures, tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepared.shutil, "copy2", failing)
    with pytest.raises(CannotPrepare) as error:
        prepared.prepare([Part(pictures, 1, "x")], tmp_path / "set")
    assert str(error.value) == (
        f"The copies can't be written to {tmp_path / 'set'}: No space left on device; nothing of yours was changed."
    )
    assert list((tmp_path / "set").iterdir()) == []
