"""The form of the Train page, as a visitor uses it."""

from __future__ import annotations

import json
import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 180_000
ASKED = "/run/predict"

KOHYA_SS = {
    "LoRA_type": "Standard", "network_dim": 24, "network_alpha": 12, "learning_rate": 0.0003, "epoch": 2,
    "optimizer": "AdamW8bit", "max_resolution": "64,64", "lr_warmup": 10, "flux1_checkbox": False,
    "additional_parameters": "--min_snr_gamma 5", "lowvram": True, "no_such_thing": 1,
}  # fmt: skip


@pytest.fixture
def app(one_app: Any, images: Path) -> Iterator[Any]:
    """One for all tests here, whose form is filled in."""
    settings = {
        "train_data_dir": str(images), "resolution": "64,64", "max_train_steps": 60, "seed": 10,
        "output_name": "teapot", "min_bucket_reso": 64,
    }  # fmt: skip
    if not one_app.is_running():
        one_app.start(settings=settings)
    yield one_app
    one_app.clear()


@pytest.fixture
def page(app: Any, browser_page: Any) -> Any:
    visit(browser_page, app)
    return browser_page


def visit(page: Any, app: Any, query: str = "") -> None:
    page.goto(app.url + query)
    page.wait_for_selector("#p-output_name .tools", state="attached")
    page.wait_for_selector("#plan dl")


def field(page: Any, key: str) -> Any:
    return page.locator(f"#p-{key}").locator("input, textarea").first


def holds(page: Any, key: str, value: str) -> None:
    expect(field(page, key)).to_have_value(value, timeout=PATIENCE)


def see(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector)).to_contain_text(text, timeout=PATIENCE)


def open_file(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#open-preset")
    chooser.value.set_files(str(file))
    page.wait_for_selector(".offer")


def method(page: Any, title: str) -> None:
    page.locator("#p-method label", has_text=title).click()


def test_a_preset_of_kohya_ss_says_what_it_changes_before_it_does(
    page: Any, app: Any, tmp_path: Path, shoot: Callable[..., None]
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(KOHYA_SS), encoding="utf-8")
    open_file(page, file)
    see(page, ".offer", re.compile(r"Network rank\s*4\s*24"))
    see(page, ".offer", "no_such_thing")
    holds(page, "network_dim", "4")
    shoot(page, "form-1-offer")
    page.click("#offer-cancel")
    expect(page.locator(".offer")).to_have_count(0)
    holds(page, "network_dim", "4")
    open_file(page, file)
    page.click("#offer-apply")
    holds(page, "network_dim", "24")
    holds(page, "output_name", "teapot")
    holds(page, "seed", "")
    expect(page.locator("#changed-count")).to_have_text("2", timeout=PATIENCE)  # folder and name are the visitor's own
    page.reload()
    holds(page, "network_dim", "24")
    expect(page.locator("#changed-count")).to_have_text("2", timeout=PATIENCE)


def test_what_is_typed_before_the_last_form_is_back_stays(page: Any, app: Any, hold: Callable[..., Any]) -> None:
    field(page, "seed").fill("7")
    field(page, "network_dim").fill("9")
    expect(page.locator("#changed-count")).to_have_text("2", timeout=PATIENCE)
    held = hold(page, ASKED)
    page.goto(app.url)
    held.wait_for(1)
    field(page, "seed").fill("11")
    held.let_go()
    holds(page, "network_dim", "9")
    holds(page, "seed", "11")


def test_a_start_waits_for_the_last_form(page: Any, app: Any, hold: Callable[..., Any]) -> None:
    field(page, "max_train_steps").fill("7")
    expect(page.locator("#changed-count")).to_have_text("1", timeout=PATIENCE)
    held = hold(page, ASKED)
    page.goto(app.url)
    held.wait_for(1)
    page.click("#start")
    page.click("#start")
    held.let_go()
    see(page, "#live .facts", "7 of 7")
    assert [app.store.settings(run)["max_train_steps"] for run in app.store.ids()] == [7]


def test_without_the_last_form_the_page_is_of_use(page: Any, app: Any) -> None:
    page.route("**/run/predict", lambda route: (route.abort(), page.unroute("**/run/predict")))
    page.goto(app.url)
    page.wait_for_selector("#p-output_name .tools", state="attached")
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_have_value(re.compile("teapot"), timeout=PATIENCE)


def asks_for_check(route: Any) -> bool:
    """It is told the form and what that is compared with, a start the form alone."""
    return len(json.loads(route.request.post_data)["data"]) == 2


def test_a_late_answer_hides_nothing_newer(page: Any, hold: Callable[..., Any]) -> None:
    held = hold(page, ASKED)
    field(page, "learning_rate").fill("much")
    held.wait_for(1)
    field(page, "learning_rate").fill("1e-4")
    held.let_go()  # what is said of "much" comes after "1e-4" was typed
    expect(page.locator("#changed-count")).to_have_text("1", timeout=PATIENCE)
    expect(page.locator("#problems")).not_to_contain_text("to put right", timeout=PATIENCE)
    held = hold(page, ASKED)
    field(page, "learning_rate").fill("much")
    page.click("#start")
    held.wait_for(2)
    held.let_go(lambda route: not asks_for_check(route))
    see(page, "#start-said", "Nothing was started")
    held.let_go()
    see(page, "#problems", "is not a number")
    expect(page.locator("#start-said")).to_be_visible()
    field(page, "learning_rate").fill("1e-4")
    expect(page.locator("#start-said")).to_be_hidden(timeout=PATIENCE)


def test_applying_a_preset_can_be_undone(page: Any) -> None:
    choose_preset(page, "SD1 style")
    page.click("#offer-apply")
    holds(page, "network_dim", "64")
    page.click(".offer-undo")
    holds(page, "network_dim", "4")
    holds(page, "max_train_steps", "60")
    expect(page.locator("#changed-count")).to_have_text("0", timeout=PATIENCE)


def choose_preset(page: Any, name: str) -> None:
    page.locator("#preset input").click()
    page.get_by_role("option", name=name).click()


def test_an_offer_that_comes_late_replaces_nothing_newer(page: Any, hold: Callable[..., Any]) -> None:
    """Gradio tells of one choice twice."""
    held = hold(page, ASKED)
    choose_preset(page, "SD1 style")
    held.wait_for(2)
    held.let_go(lambda route: route is held.waiting[-1])
    page.click("#offer-apply")
    holds(page, "network_dim", "64")
    page.wait_for_selector(".offer-undo")
    with page.expect_response("**/run/predict"):
        held.let_go()
    page.wait_for_timeout(200)
    page.click(".offer-undo")
    holds(page, "network_dim", "4")


def test_an_offer_is_about_the_form_as_it_is(page: Any) -> None:
    choose_preset(page, "SD1 style")
    see(page, ".offer", re.compile(r"Network rank\s*4\s*64"))
    field(page, "network_dim").fill("9")
    see(page, ".offer", re.compile(r"Network rank\s*9\s*64"))
    page.click("#offer-apply")
    holds(page, "network_dim", "64")
    page.click(".offer-undo")
    holds(page, "network_dim", "9")


def test_what_was_changed_is_marked_and_reset_at_its_field(page: Any, shoot: Callable[..., None]) -> None:
    field(page, "network_dim").fill("99")
    page.locator("#p-flip_aug, #more-dataset > button").first.click()
    page.locator("#p-flip_aug input").check()
    expect(page.locator("#changed-count")).to_have_text("2", timeout=PATIENCE)
    page.click("#toggle-changed")
    expect(page.locator("#p-learning_rate")).to_be_hidden()
    expect(page.locator("#p-flip_aug")).to_be_visible()
    expect(page.locator("#g-loss")).to_be_hidden()
    shoot(page, "form-2-changed")
    page.locator("#p-network_dim .reset").click()
    holds(page, "network_dim", "4")
    expect(page.locator("#changed-count")).to_have_text("1", timeout=PATIENCE)
    page.click("#reset-all")
    expect(page.locator("#p-flip_aug input")).not_to_be_checked(timeout=PATIENCE)
    expect(page.locator("#p-learning_rate")).to_be_visible()


SEARCHES = {
    "min_snr": "min_snr_gamma",
    "noise truly black": "zero_terminal_snr",
    "hugging token": "huggingface_token",
    "rank": "network_dim",
}  # fmt: skip


def test_the_search_finds_a_setting_and_goes_to_it(page: Any, shoot: Callable[..., None]) -> None:
    for words, key in SEARCHES.items():
        page.locator("h2").first.click()
        page.keyboard.press("/")
        page.keyboard.type(words)
        expect(page.locator("#search-results [aria-selected=true]")).to_have_attribute("data-key", key)
        if key == "min_snr_gamma":
            shoot(page, "form-3-search")
        page.keyboard.press("Enter")
        expect(field(page, key)).to_be_focused(timeout=PATIENCE)
        expect(page.locator("#help-line")).to_contain_text(key)


def test_another_method_hides_what_it_has_no_use_for_and_keeps_what_was_filled_in(
    page: Any, shoot: Callable[..., None]
) -> None:
    field(page, "network_dim").fill("24")
    method(page, "DreamBooth")
    expect(page.locator("#g-network")).to_be_hidden(timeout=PATIENCE)
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_have_value(re.compile("--method=dreambooth"), timeout=PATIENCE)
    expect(page.locator("#command textarea")).not_to_have_value(re.compile("network_dim"))
    holds(page, "output_name", "teapot")
    shoot(page, "form-4-dreambooth")
    method(page, "LoRA")
    expect(page.locator("#g-network")).to_be_visible(timeout=PATIENCE)
    holds(page, "network_dim", "24")


def test_the_blocks_are_typed_and_chosen_in_their_picture(page: Any, shoot: Callable[..., None]) -> None:
    page.click("#blocks-network > button")
    rate = page.locator("#blocks .down .block-row input[type=text]").nth(2)
    rate.fill("0.5")
    rate.press("Tab")
    holds(page, "down_lr_weight", "1, 1, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1")
    page.locator("#blocks .curves select").nth(1).select_option("cosine")
    holds(page, "up_lr_weight", "cosine")
    page.locator("#blocks .tabs button", has_text="Ranks").first.click()
    middle = page.locator("#blocks .mid input[type=text]")
    middle.fill("0")
    page.evaluate("document.dispatchEvent(new Event('form-facts'))")  # the app's answer to what was typed before
    middle.press("Tab")
    expect(field(page, "block_dims")).to_have_value(re.compile(r"^(4, ){12}0(, 4){12}$"), timeout=PATIENCE)
    expect(page.locator("#blocks .mid .block-row")).to_have_class(re.compile("out"))
    page.locator("#blocks-network").scroll_into_view_if_needed()
    shoot(page, "form-5-blocks")
    page.locator("#blocks .curves button", has_text="Clear").click()
    holds(page, "block_dims", "")
    expect(page.locator("#problems")).not_to_contain_text("to put right")


def trained_file(folder: Path) -> Path:
    """As large as a real one's header, with tensors that nobody reads."""
    tags = {"ss_network_module": "networks.lora", "ss_network_dim": "12", "ss_network_alpha": "6.0", "ss_seed": "77",
            "ss_output_name": "bloop", "ss_resolution": "(64, 64)", "ss_learning_rate": "0.0002",
            "ss_min_bucket_reso": "64"}  # fmt: skip
    header = json.dumps({"__metadata__": tags, "x": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    file = folder / "bloop.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    return file


def test_a_trained_file_opens_as_a_new_run(page: Any, tmp_path: Path, shoot: Callable[..., None]) -> None:
    open_file(page, trained_file(tmp_path))
    see(page, ".offer", "does not say where the images lay")
    shoot(page, "form-6-trained-file")
    page.click("#offer-apply")
    holds(page, "network_dim", "12")
    holds(page, "seed", "77")
    page.click("#start")
    see(page, "#live-state", "Done")


def test_a_run_opens_as_the_form(page: Any, app: Any) -> None:
    field(page, "network_dim").fill("9")
    page.click("#start")
    see(page, "#live-state", "Done")
    field(page, "network_dim").fill("10")
    field(page, "seed").fill("3")
    expect(page.locator("#changed-count")).to_have_text("2", timeout=PATIENCE)
    visit(page, app, f"?run={app.store.ids()[0]}")
    holds(page, "network_dim", "9")
    assert "run=" not in page.url
    see(page, "#preset-said", app.store.ids()[0])
    page.click(".offer-undo")
    holds(page, "network_dim", "10")


def test_several_values_start_several_runs(page: Any, app: Any, shoot: Callable[..., None]) -> None:
    field(page, "learning_rate").fill("1e-4, 5e-5")
    expect(page.locator("#start")).to_have_text("Start 2 runs", timeout=PATIENCE)
    see(page, "#problems", "Start makes 2 runs")
    shoot(page, "form-7-sweep")
    page.click("#start")
    see(page, "#start-said", "2 runs")
    assert len(app.store.ids()) == 2


def test_additional_parameters_are_checked_as_they_are_typed(page: Any) -> None:
    page.evaluate("trainForm.goTo('additional_parameters')")
    expect(field(page, "additional_parameters")).to_be_focused(timeout=PATIENCE)
    field(page, "additional_parameters").fill("--learning_rat 1e-5")
    see(page, "#problems", "Did you mean learning_rate?")
    field(page, "additional_parameters").fill("--learning_rate 1e-5")
    expect(page.locator("#problems")).not_to_contain_text("to put right", timeout=PATIENCE)
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_have_value(re.compile("--learning_rate=1e-05"), timeout=PATIENCE)


def test_a_command_goes_away_when_the_form_says_something_else(page: Any) -> None:
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_be_visible(timeout=PATIENCE)
    field(page, "network_dim").fill("17")
    expect(page.locator("#command")).to_be_hidden(timeout=PATIENCE)
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_have_value(re.compile("--network_dim=17"), timeout=PATIENCE)
    expect(page.locator("#command textarea")).to_be_visible()


def test_a_command_that_comes_late_is_not_shown_for_a_newer_form(page: Any) -> None:
    held: list[Any] = []

    def pass_on(route: Any) -> None:
        answer = route.fetch()
        give = partial(route.fulfill, response=answer)
        is_old = "-m sd_scripts.train" in answer.text() and "--network_dim=17" not in answer.text()
        held.append(give) if is_old else give()

    page.route("**/run/predict", pass_on)
    page.click("#print-command")
    while not held:
        page.wait_for_timeout(20)
    field(page, "network_dim").fill("17")
    expect(page.locator("#changed-count")).to_have_text("1", timeout=PATIENCE)
    held.pop()()
    expect(page.locator("#command textarea")).to_have_value(re.compile("--output_name=teapot"), timeout=PATIENCE)
    expect(page.locator("#command")).to_be_hidden(timeout=PATIENCE)
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_have_value(re.compile("--network_dim=17"), timeout=PATIENCE)
    expect(page.locator("#command")).to_be_visible(timeout=PATIENCE)


def test_a_form_is_downloaded_and_opened_again(page: Any, tmp_path: Path) -> None:
    field(page, "network_dim").fill("33")
    page.click("#save-part > button")
    for ending, button in (("json", "#export-json"), ("toml", "#export-toml")):
        page.locator("#preset-name input, #preset-name textarea").first.fill("kept")
        with page.expect_download() as download:
            page.click(button)
        assert download.value.suggested_filename == f"kept.{ending}"
        download.value.save_as(tmp_path / f"kept.{ending}")
        field(page, "network_dim").fill("5")
        expect(page.locator("#changed-count")).to_have_text("1", timeout=PATIENCE)
        open_file(page, tmp_path / f"kept.{ending}")
        page.click("#offer-apply")
        holds(page, "network_dim", "33")


def test_a_folder_is_chosen_by_keyboard(page: Any, images: Path, shoot: Callable[..., None]) -> None:
    page.locator("#p-train_data_dir .browse").focus()
    page.keyboard.press("Enter")
    rows = page.locator("#chooser .rows button")
    expect(rows).to_have_text(["5_blue teapot"], timeout=PATIENCE)
    page.keyboard.press("Enter")
    see(page, "#chooser .said", "4 images")
    shoot(page, "form-12-folder")
    page.keyboard.press("Backspace")
    expect(rows).to_have_text(["5_blue teapot"], timeout=PATIENCE)
    page.keyboard.type("no such")
    expect(rows).to_have_count(0, timeout=PATIENCE)
    page.locator("#chooser input").first.fill("/")
    page.keyboard.press("Enter")
    see(page, "#chooser .said", "lies outside the folders that the app may read")
    page.keyboard.press("Escape")
    expect(field(page, "train_data_dir")).to_be_focused()
    holds(page, "train_data_dir", str(images))
    page.locator("#p-train_data_dir .browse").click()
    page.locator("#chooser .rows button").click()
    see(page, "#chooser .said", "4 images")
    page.click("#chooser .take")
    holds(page, "train_data_dir", f"{images}/5_blue teapot")
    see(page, "#plan", "is itself a folder of images")


def test_a_folder_is_allowed_where_it_is_named(page: Any) -> None:
    outside = tempfile.mkdtemp()
    field(page, "output_dir").fill(f"{outside}/new")
    page.click("button.open-up")
    expect(page.locator("#problems")).not_to_contain_text("to put right", timeout=PATIENCE)


def test_help_and_key_are_there_without_hovering(page: Any, shoot: Callable[..., None]) -> None:
    help_text = page.locator("#p-network_dim .info-text")
    assert help_text.bounding_box()["height"] <= 1
    page.locator("#p-network_dim .ask").click()
    assert help_text.bounding_box()["height"] > 10
    expect(page.locator("#p-network_dim .tools .key")).to_have_text("network_dim")
    page.click("#toggle-help")
    page.click("#toggle-keys")
    assert page.locator("#p-learning_rate .info-text").bounding_box()["height"] > 10
    expect(page.locator("#p-learning_rate .key")).to_be_visible()
    shoot(page, "form-8-help")


WIDEST = "Math.max(...[...document.querySelectorAll('#columns *')].filter(e => e.offsetParent).map(e => e.getBoundingClientRect().right))"


def test_the_form_fits_a_phone_and_the_dark(app: Any, page: Any, shoot: Callable[..., None]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(f"({WIDEST}) <= 390")
    field(page, "network_dim").fill("lots")
    expect(page.locator("#dock-plan")).to_have_text("1 to put right", timeout=PATIENCE)
    shoot(page, "form-9-phone")
    page.click("#dock-plan")
    expect(page.locator("#problems")).to_be_in_viewport()
    expect(page.locator("#dock")).to_be_hidden()
    page.locator("#p-network_dim .reset").click()
    expect(page.locator("#dock-plan")).to_have_text("Plan", timeout=PATIENCE)
    page.click("#toggle-dark")
    page.locator("#preset input").click()
    page.get_by_role("option", name="SD1 style").click()
    page.wait_for_selector(".offer")
    page.wait_for_function(f"({WIDEST}) <= 390")
    shoot(page, "form-10-phone-dark")
    page.set_viewport_size({"width": 1280, "height": 900})
    shoot(page, "form-11-dark")
