"""The dataset page: captions in place, many at once, and every step undone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 120_000


@pytest.fixture(scope="module")
def app(lasting_app: Callable[[], Any]) -> Any:
    """What it keeps about folders lies in a home of its own."""
    made = lasting_app()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(made.folder))
        return made.start()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seventy pictures, the last without a caption."""
    from PIL import Image, ImageDraw

    place = tmp_path / "pictures" / "10_cat"
    place.mkdir(parents=True)
    for number in range(70):
        picture = Image.new("RGB", (96, 64 + 32 * (number % 3)), (40 + 3 * number, 120, 220 - 3 * number))
        ImageDraw.Draw(picture).ellipse((24, 16, 72, 56), fill=(240, 230 - 2 * number, 90))
        picture.save(place / f"{number:02d}.png")
        if number < 69:
            tag = "red hat" if number % 2 else "blue scarf"
            (place / f"{number:02d}.txt").write_text(f"cat, {tag}, sitting\n", encoding="utf-8")
    return place


def see(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector).first).to_contain_text(text, timeout=PATIENCE)


def caption(page: Any, name: str) -> Any:
    return page.locator(f'#dataset li[data-name="{name}"] textarea')


def text(folder: Path, stem: str) -> str:
    return (folder / f"{stem}.txt").read_text(encoding="utf-8")


def test_what_is_typed_while_the_page_opens_stays(app: Any, browser_page: Any, folder: Path) -> None:
    page, held = browser_page, []
    begin = re.compile(r"/dataset/folders\?path=$")
    page.route(begin, lambda route: held.append(route))
    with page.expect_request(begin):
        page.goto(f"{app.url}dataset")
    page.fill("#ds-folder", str(folder.parent))
    with page.expect_response(begin) as answer:
        held[0].continue_()
    answer.value.finished()
    expect(page.locator("#dataset .folders button").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#ds-folder")).to_have_value(str(folder.parent))
    page.press("#ds-folder", "Enter")
    expect(page.get_by_role("button", name="10_cat")).to_be_visible(timeout=PATIENCE)


def test_captions_are_edited_in_place_and_in_bulk_and_all_is_undone(
    app: Any, browser_page: Any, folder: Path, shoot: Callable[..., None]
) -> None:
    page = browser_page
    page.goto(f"{app.url}dataset")
    page.fill("#ds-folder", str(folder.parent))
    page.press("#ds-folder", "Enter")
    page.get_by_role("button", name="10_cat").click()
    see(page, "#dataset .count", "1 to 60 of 70")
    expect(page.locator("#dataset .grid img").first).to_have_js_property("naturalWidth", 96, timeout=PATIENCE)
    caption(page, "00.png").fill("cat, green coat, sitting")
    caption(page, "00.png").press("Control+Enter")
    see(page, '#dataset li[data-name="00.png"] .note.good', "saved")
    assert text(folder, "00") == "cat, green coat, sitting\n"
    see(page, "#ds-undo", "Undo: Edit 00.png")
    page.fill("#ds-find", "(red|blue) (hat|scarf)")
    page.fill("#ds-by", r"\2 of \1 wool")
    page.check("#ds-as_pattern")
    page.click("#ds-try")
    see(page, "#dataset .edited", "68 captions of 70 images would change:")
    see(page, "#dataset .examples", "hat of red wool")
    assert text(folder, "01") == "cat, red hat, sitting\n"
    shoot(page, "40-dataset-preview")
    page.click("#ds-apply")
    see(page, "#dataset .edited", "68 captions were changed; Undo takes it back.")
    expect(caption(page, "01.png")).to_have_value("cat, hat of red wool, sitting", timeout=PATIENCE)
    assert text(folder, "68") == "cat, scarf of blue wool, sitting\n"
    see(page, "#dataset .tags", "scarf of blue wool")
    page.reload()
    see(page, "#ds-undo", "Replace")
    page.click("#ds-undo")
    see(page, "#dataset .said", "Undone: Replace '(red|blue) (hat|scarf)'")
    expect(caption(page, "01.png")).to_have_value("cat, red hat, sitting", timeout=PATIENCE)
    see(page, "#ds-undo", "Undo: Edit 00.png")
    page.click("#ds-undo")
    see(page, "#dataset .said", "Undone: Edit 00.png")
    assert text(folder, "00") == "cat, blue scarf, sitting\n"
    page.click("#ds-redo")
    see(page, "#dataset .said", "Done again: Edit 00.png")
    assert text(folder, "00") == "cat, green coat, sitting\n"


def test_only_what_is_found_or_selected_is_edited(
    app: Any, browser_page: Any, folder: Path, shoot: Callable[..., None]
) -> None:
    page = browser_page
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{app.url}dataset?folder={folder}")
    see(page, "#dataset .count", "1 to 60 of 70")
    shoot(page, "41-dataset-phone")
    page.get_by_text("Edit many captions").click()
    page.locator("#dataset summary", has_text="Tags").click()
    page.locator("#dataset .tags button", has_text="red hat").click()
    see(page, "#dataset .count", "1 to 34 of 34 (70 in the folder)")
    page.select_option("#ds-kind", "add_tags")
    page.fill("#ds-text", "warm")
    page.click("#ds-try")
    see(page, "#dataset .edited", "34 captions of 34 images would change:")
    page.click("#ds-apply")
    see(page, "#dataset .edited", "34 captions were changed")
    assert text(folder, "01") == "cat, red hat, sitting, warm\n" and text(folder, "02") == "cat, blue scarf, sitting\n"
    page.locator("#dataset .chips button").click()
    see(page, "#dataset .count", "1 to 60 of 70")
    page.select_option("#ds-state", "without")
    see(page, "#dataset .count", "1 to 1 of 1 (70 in the folder)")
    page.get_by_label("Select 69.png").check()
    page.select_option("#ds-state", "")
    see(page, "#dataset .count", "1 to 60 of 70")
    page.get_by_label("Select 01.png").click()
    page.get_by_label("Select 04.png").click(modifiers=["Shift"])
    see(page, "#ds-scope", "the 5 images selected")
    page.get_by_label("Select 04.png").click()
    page.get_by_label("Select 01.png").click(modifiers=["Shift"])
    see(page, "#dataset .count", "1 to 60 of 70")
    page.select_option("#ds-kind", "prefix")
    page.fill("#ds-text", "at last, ")
    page.select_option("#ds-scope", "selected")
    page.click("#ds-try")
    page.click("#ds-apply")
    see(page, "#dataset .edited", "1 caption was changed")
    assert text(folder, "69") == "at last"
    page.locator("#ds-apply").scroll_into_view_if_needed()
    shoot(page, "42-dataset-phone-edit")


def test_text_that_can_t_be_saved_stays_in_its_field(app: Any, browser_page: Any, folder: Path) -> None:
    page = browser_page
    page.goto(f"{app.url}dataset?folder={folder}")
    see(page, "#dataset .count", "1 to 60 of 70")
    (folder / "03.txt").write_text("theirs", encoding="utf-8")
    caption(page, "03.png").fill("mine")
    caption(page, "03.png").press("Control+Enter")
    see(page, '#dataset li[data-name="03.png"] .note', "The caption of 03.png was changed elsewhere in the meantime")
    assert text(folder, "03") == "theirs"
    page.get_by_role("button", name="Next").first.click()
    see(page, "#dataset .count", "61 to 70 of 70")
    page.get_by_role("button", name="Back").first.click()
    see(page, "#dataset .count", "1 to 60 of 70")
    expect(caption(page, "03.png")).to_have_value("mine")
    assert text(folder, "03") == "theirs"


def test_captions_are_saved_where_they_were_typed_whatever_is_opened_meanwhile(
    app: Any, browser_page: Any, folder: Path, hold: Callable[..., Any]
) -> None:
    page, other = browser_page, folder.parent / "10_dog"
    other.mkdir()
    for stem in ("00", "02"):
        (other / f"{stem}.png").write_bytes((folder / f"{stem}.png").read_bytes())
        (other / f"{stem}.txt").write_text(text(folder, stem), encoding="utf-8")
    page.goto(f"{app.url}dataset?folder={folder}")
    see(page, "#dataset .count", "1 to 60 of 70")
    held = hold(page, "/dataset/caption")
    with page.expect_request(held.asked):
        caption(page, "00.png").fill("a first cat")
        caption(page, "00.png").press("Tab")
    caption(page, "02.png").fill("a second cat")
    page.fill("#ds-folder", str(other))
    page.press("#ds-folder", "Enter")
    expect(page.locator("#dataset .grid li")).to_have_count(0, timeout=PATIENCE)
    held.let_go()
    see(page, "#dataset .count", "1 to 2 of 2")
    expect(caption(page, "02.png")).to_have_value("cat, blue scarf, sitting", timeout=PATIENCE)
    assert [text(folder, "00"), text(folder, "02")] == ["a first cat\n", "a second cat\n"]
    assert [text(other, "00"), text(other, "02")] == ["cat, blue scarf, sitting\n"] * 2


def test_whoever_writes_a_caption_goes_on_when_a_late_answer_draws_the_page_anew(
    app: Any, browser_page: Any, folder: Path, hold: Callable[..., Any]
) -> None:
    page = browser_page
    page.goto(f"{app.url}dataset?folder={folder}")
    see(page, "#dataset .count", "1 to 60 of 70")
    held = hold(page, "/dataset/items")
    with page.expect_request(held.asked):
        page.fill("#ds-words", "scarf")
    caption(page, "02.png").fill("a scarf of wool")
    held.let_go()
    see(page, "#dataset .count", "1 to 35 of 35 (70 in the folder)")
    expect(caption(page, "02.png")).to_be_focused(timeout=PATIENCE)
    expect(caption(page, "02.png")).to_have_value("a scarf of wool", timeout=PATIENCE)
    assert text(folder, "02") == "a scarf of wool\n"


def test_a_late_preview_of_other_settings_is_not_shown(
    app: Any, browser_page: Any, folder: Path, hold: Callable[..., Any]
) -> None:
    page = browser_page
    page.goto(f"{app.url}dataset?folder={folder}")
    see(page, "#dataset .count", "1 to 60 of 70")
    page.fill("#ds-find", "cat")
    held = hold(page, "/dataset/try")
    with page.expect_request(held.asked):
        page.click("#ds-try")
    page.fill("#ds-find", "scarf")
    with page.expect_response(held.asked) as late:
        held.let_go()
    late.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(page.locator("#ds-apply")).to_be_disabled(timeout=PATIENCE)
    expect(page.locator("#dataset .edited")).to_be_empty(timeout=PATIENCE)


def test_folders_are_balanced_prepared_and_uploaded(
    app: Any, browser_page: Any, folder: Path, shoot: Callable[..., None], tmp_path: Path
) -> None:
    """Names carry the test's own folder's, because what is made lies beside the program."""
    import shutil

    from PIL import Image

    from kohya_gui.dataset_making import DATASETS

    page, name = browser_page, f"test {tmp_path.name}"
    small = folder.parent / "3_dog"
    small.mkdir()
    for number in range(7):
        shutil.copy2(folder / f"{number:02d}.png", small)
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(7):
        mask = Image.new("L", (96, 64), 40)
        mask.paste(255, (24, 16, 72, 56))
        mask.save(masks / f"{number:02d}.png")
    try:
        page.goto(f"{app.url}dataset?folder={folder.parent}")
        see(page, "#dataset .making", "Balance folders")
        repeats = page.get_by_label("Repeats of 3_dog")
        expect(repeats).to_have_value("100", timeout=PATIENCE)
        page.fill("#ds-balance-name", name)
        page.click("#ds-balance-file")
        see(page, "#dataset .making .made", f"{name}.toml")
        shoot(page, "45-dataset-balance")
        page.get_by_role("button", name="3_dog").click()
        see(page, "#dataset .count", "1 to 7 of 7")
        page.locator("#dataset summary", has_text="Prepare for training").click()
        page.fill("#ds-identifier", "sks")
        page.fill("#ds-class", "dog")
        page.fill("#ds-set", name)
        page.click("#ds-prepare")
        see(page, "#dataset aside .made", str(DATASETS / name / "img"))
        assert sorted(path.name for path in (DATASETS / name / "img" / "10_sks dog").iterdir())[0] == "00.png"
        page.locator("#dataset summary", has_text="Masks").click()
        page.fill("#ds-masks", str(masks))
        page.press("#ds-masks", "Tab")
        expect(page.locator("#dataset img.mask")).to_have_count(7, timeout=PATIENCE)
        expect(page.locator("#dataset img.mask").first).to_have_js_property("naturalWidth", 96, timeout=PATIENCE)
        shoot(page, "46-dataset-prepared")
        page.locator("#dataset summary", has_text="Upload pictures").click()
        page.fill("#ds-upload-name", f"{name} sent")
        page.set_input_files("#ds-upload-files", [folder / "00.png", folder / "00.txt", small / "03.png"])
        page.click("#ds-upload")
        see(page, "#dataset .count", "1 to 2 of 2")
        expect(caption(page, "00.png")).to_have_value("cat, blue scarf, sitting")
    finally:
        for place in (DATASETS / name, DATASETS / f"{name} sent"):
            shutil.rmtree(place, ignore_errors=True)
        (DATASETS / f"{name}.toml").unlink(missing_ok=True)


def test_folders_go_into_the_training_form_and_out_again(app: Any, browser_page: Any, folder: Path) -> None:
    page = browser_page
    page.goto(f"{app.url}dataset?folder={folder}")
    page.get_by_role("button", name="Train with the folder that it lies in").click()
    see(page, "#preset-said", f"The images of {folder.parent} are in the form.")
    field = page.locator("#p-train_data_dir :is(input, textarea)")
    expect(field).to_have_value(str(folder.parent), timeout=PATIENCE)
    page.locator("#preset-said").get_by_role("button", name="Undo").click()
    expect(field).to_have_value("sd_scripts/starter/demo", timeout=PATIENCE)
