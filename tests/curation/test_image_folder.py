"""Captions of a folder are found, changed and brought back without a byte being lost."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from sd_scripts.curation import edits, journal
from sd_scripts.curation.caption_file import CannotWrite
from sd_scripts.curation.edits import BadEdit
from sd_scripts.curation.image_folder import ImageFolder, NoFolder, NoSuchImage, Search, usual_ending
from sd_scripts.curation.journal import Conflict, NothingToDo

CONTENTS = {
    "a.txt": b"a red cat\n",
    "b.txt": b"\xef\xbb\xbfred, \xe7\x8c\xab\r\nsecond line\r\n",
    "c.txt": b"blue dog",
    "bad.txt": b"\xff\xfered",
}


@pytest.fixture
def folder(tmp_path):
    for stem in ("a", "b", "c", "bad", "none"):
        Image.new("RGB", (16, 8)).save(tmp_path / f"{stem}.png")
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return ImageFolder(tmp_path)


def contents(folder):
    return {name: (folder.path / name).read_bytes() for name in CONTENTS}


def captions(folder):
    return {item.name: item.caption.text for item in folder.items()}


RED = edits.Replace("red", "green")
EVERYTHING = Search()


def test_captions_are_shown_as_text(folder):
    assert captions(folder) == {
        "a.png": "a red cat", "b.png": "red, 猫\nsecond line", "bad.png": "", "c.png": "blue dog", "none.png": "",
    }  # fmt: skip
    (bad,) = [item.caption for item in folder.items() if item.name == "bad.png"]
    assert bad.problem == f"The caption file {folder.path / 'bad.txt'} is not UTF-8 text (byte 1); save it as UTF-8."


def test_a_bulk_edit_changes_what_it_says_and_is_undone_to_the_byte(folder):
    tried = folder.tried(RED, EVERYTHING)
    assert [(item.name, after) for item, after in tried.changes] == [
        ("a.png", "a green cat"), ("b.png", "green, 猫\nsecond line"),
    ]  # fmt: skip
    assert tried.looked_at == 5 and len(tried.skipped) == 1
    assert contents(folder) == CONTENTS
    folder.apply(RED, EVERYTHING)
    assert contents(folder) == CONTENTS | {
        "a.txt": b"a green cat\n", "b.txt": b"\xef\xbb\xbfgreen, \xe7\x8c\xab\r\nsecond line\r\n",
    }  # fmt: skip
    assert folder.undo().words == "Replace 'red' by 'green'"
    assert contents(folder) == CONTENTS


def test_steps_are_undone_and_done_again_one_by_one_also_by_another_program(folder):
    states = [captions(folder)]
    for edit in (RED, edits.Prefix("x "), edits.AddTags("new")):
        folder.apply(edit, EVERYTHING)
        states.append(captions(folder))
    assert states[3]["none.png"] == "x, new" and states[3]["c.png"] == "x blue dog, new"
    for state in (states[2], states[1], states[0]):
        again = ImageFolder(folder.path)
        again.undo()
        assert captions(again) == state
    assert not (folder.path / "none.txt").exists()
    with pytest.raises(NothingToDo) as error:
        folder.undo()
    assert str(error.value) == "There is nothing to undo in this folder."
    for state in states[1:]:
        folder.redo()
        assert captions(folder) == state
    with pytest.raises(NothingToDo) as error:
        folder.redo()
    assert str(error.value) == "There is nothing to do again in this folder."


def test_after_another_edit_what_was_undone_is_gone_from_the_way(folder):
    folder.apply(RED, EVERYTHING)
    folder.undo()
    folder.put("c.png", "a hound", "blue dog")
    with pytest.raises(NothingToDo):
        folder.redo()
    assert (folder.journal.done(), folder.journal.undone()) == ([1], [])


@pytest.mark.parametrize("search, names", [
    (Search(), {"a.png", "b.png", "c.png", "bad.png", "none.png"}),
    (Search(words="RED"), {"a.png", "b.png"}),
    (Search(words="non"), {"none.png"}),
    (Search(tags=("red",)), {"b.png"}),
    (Search(tags=("red", "猫")), {"b.png"}),
    (Search(tags=("red", "dog")), set()),
    (Search(state="without"), {"none.png", "bad.png"}),
    (Search(names=frozenset({"a.png", "gone.png"})), {"a.png"}),
    (Search(words="red", names=frozenset({"a.png"})), {"a.png"}),
])  # fmt: skip
def test_a_search_finds(folder, search, names):
    assert {item.name for item in folder.found(search)} == names


def test_an_edit_touches_only_what_was_searched_for(folder):
    folder.apply(edits.AddTags("new"), Search(words="dog"))
    assert contents(folder) == CONTENTS | {"c.txt": b"blue dog, new"}


def test_an_edit_that_changes_nothing_is_no_step(folder):
    assert folder.apply(edits.Replace("zebra", "x"), EVERYTHING).changes == ()
    assert folder.journal.done() == [] and not (folder.path / journal.FOLDER).exists()


def test_a_caption_by_hand(folder):
    folder.put("none.png", "at last\nin two lines", "")
    assert (folder.path / "none.txt").read_bytes() == b"at last\nin two lines"
    folder.put("b.png", "x\ny", "red, 猫\nsecond line")
    assert (folder.path / "b.txt").read_bytes() == b"\xef\xbb\xbfx\r\ny\r\n"
    folder.put("b.png", "x\ny", "x\ny")
    assert folder.journal.done() == [1, 2]


def test_what_someone_else_wrote_meanwhile_is_not_lost(folder):
    (folder.path / "a.txt").write_text("theirs", encoding="utf-8")
    with pytest.raises(Conflict) as error:
        folder.put("a.png", "mine", "a red cat")
    assert str(error.value) == (
        "The caption of a.png was changed elsewhere in the meantime; copy your text and load again."
    )
    folder.apply(edits.Prefix("x "), EVERYTHING)
    (folder.path / "a.txt").write_text("theirs again", encoding="utf-8")
    with pytest.raises(Conflict) as error:
        folder.undo()
    assert str(error.value) == "a.txt was changed by someone else since; nothing was written, so that no text is lost."
    assert (folder.path / "c.txt").read_text(encoding="utf-8") == "x blue dog"


def test_a_change_cut_off_in_the_middle_can_be_undone(folder, monkeypatch):
    from sd_scripts.curation import caption_file

    real, written = caption_file.write, []

    def failing(file, content, surely=False):
        if file.suffix == ".txt":
            if written:
                raise CannotWrite("The disk is full.")
            written.append(file)
        real(file, content, surely)

    monkeypatch.setattr(caption_file, "write", failing)
    with pytest.raises(CannotWrite):
        folder.apply(edits.Prefix("x "), EVERYTHING)
    monkeypatch.undo()
    assert contents(folder) != CONTENTS
    folder.undo()
    assert contents(folder) == CONTENTS


def test_a_pattern_that_is_given_up_writes_nothing(folder):
    (folder.path / "c.txt").write_text("a" * 60 + "b", encoding="utf-8")
    with pytest.raises(BadEdit):
        folder.apply(edits.Replace("(a|aa)+$", "", as_pattern=True), EVERYTHING)
    assert (folder.path / "a.txt").read_bytes() == CONTENTS["a.txt"]


def test_images_of_one_name_share_their_caption(folder):
    Image.new("RGB", (8, 8)).save(folder.path / "a.jpg")
    outcome = folder.apply(edits.Suffix("!"), Search(words="red cat"))
    assert len(outcome.changes) == 1
    assert (folder.path / "a.txt").read_bytes() == b"a red cat!\n"


def test_links_that_lead_away_are_left_out(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    (folder.path / "none.txt").symlink_to(secret)
    assert captions(folder)["none.png"] == ""
    assert captions(ImageFolder(folder.path, may_read=lambda _: True))["none.png"] == "secret"


def test_a_history_that_leads_away_is_refused(folder):
    folder.put("c.png", "x", "blue dog")
    file = folder.path / journal.FOLDER / "000001.json"
    step = json.loads(file.read_text(encoding="utf-8"))
    step["changes"][0]["file"] = "../outside.txt"
    file.write_text(json.dumps(step), encoding="utf-8")
    with pytest.raises(Conflict) as error:
        folder.undo()
    assert str(error.value).startswith(f"The step {file} of the history can't be read; move it away")


def test_what_isn_t_there_is_said(folder, tmp_path):
    with pytest.raises(NoSuchImage):
        folder.put("gone.png", "x", "")
    with pytest.raises(NoSuchImage):
        folder.picture("../a.png")
    with pytest.raises(NoFolder) as error:
        ImageFolder(tmp_path / "nowhere").items()
    assert str(error.value) == f"The folder {tmp_path / 'nowhere'} does not exist; check its name and permissions."


def test_a_long_history_forgets_its_beginning(folder, monkeypatch):
    monkeypatch.setattr(journal, "MOST_STEPS", 3)
    for number in range(5):
        folder.apply(edits.Suffix(f" {number}"), Search(words="dog"))
    assert folder.journal.done() == [3, 4, 5]


@pytest.mark.parametrize("names, ending", [
    ([], ".txt"), (["a.caption", "b.caption", "c.txt"], ".caption"), (["a.png", "a.txt"], ".txt"),
])  # fmt: skip
def test_the_usual_ending_is_that_of_most_captions(names, ending):
    assert usual_ending(names) == ending
