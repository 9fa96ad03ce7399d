"""What holds for every page: who may come in, in which language it speaks, and what the Settings page does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from kohya_gui import theme
from kohya_gui.users import Users

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 180_000
HERE = Path(__file__).parent


def see(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector)).to_contain_text(text, timeout=PATIENCE)


def sign_in(page: Any, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="module")
def closed(lasting_app: Callable[[], Any]) -> Any:
    """An app that lets two users in."""
    app = lasting_app()
    users = Users(app.folder / "users.txt")
    users.add("ann", "correct horse")
    users.add("bob", "battery staple")
    return app.start("--users", str(users.file), settings={})


@pytest.fixture(scope="module")
def plain(lasting_app: Callable[[], Any]) -> Any:
    return lasting_app().start(settings={})


def test_several_users_sign_in_and_whoever_guesses_has_to_wait(
    closed: Any, new_page: Callable[..., Any], shoot: Callable[..., None]
) -> None:
    app = closed
    ann, bob, stranger = new_page(), new_page(), new_page()
    for page, name, password in ((ann, "ann", "correct horse"), (bob, "bob", "battery staple")):
        page.goto(app.url + "settings")
        sign_in(page, name, password)
        see(page, "#settings-rights", "ann, bob")
    expect(ann.locator("body")).not_to_contain_text("scrypt")
    stranger.goto(app.url)
    for _ in range(4):
        sign_in(stranger, "ann", "a guess too many")
        see(stranger, "#said", "Name or password is wrong.")
    sign_in(stranger, "ann", "correct horse")
    see(stranger, "#said", re.compile(r"Too many wrong attempts; try again in \d seconds\."))
    shoot(stranger, "13-login-limited")
    ann.goto(app.url + "tools")
    ann.locator("#open-inspect_lora > button").click()
    ann.context.clear_cookies()
    ann.click("#run-inspect_lora")
    ann.locator("#signed-out").get_by_role("button", name="You are signed out; load the page again.").click()
    expect(ann.get_by_label("Password")).to_be_visible(timeout=PATIENCE)
    bob.get_by_role("link", name="Sign out").click()
    expect(bob.get_by_label("Password")).to_be_visible(timeout=PATIENCE)
    assert bob.request.get(app.url + "live/runs").status == 401


@pytest.mark.parametrize("path", theme.PAGES)
def test_no_page_is_shown_before_the_login(closed: Any, path: str) -> None:
    with urlopen(closed.url + path) as answer:
        html = answer.read().decode()
    assert 'id="login"' in html and "gradio_config" not in html
    with pytest.raises(HTTPError) as error:
        urlopen(closed.url + "config")
    assert error.value.code == 401
    error.value.close()


def test_a_visitor_gets_the_language_of_the_browser_and_can_choose_another(
    plain: Any, new_page: Callable[..., Any], shoot: Callable[..., None]
) -> None:
    app = plain
    page = new_page(locale="de-DE")
    page.goto(app.url)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    see(page, "#top nav", "Datensatz")
    see(page, "#p-learning_rate", "Lernrate")
    expect(page.locator("#start")).to_have_text("Starten", timeout=PATIENCE)
    see(page, "#live", "Noch kein Lauf")
    shoot(page, "14-german")
    page.locator("#top select[data-language]").select_option("ja")
    see(page, "#p-learning_rate", "学習率")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    page.goto(app.url + "tools")
    see(page, "#top nav", "ツール")
    shoot(page, "15-japanese-tools")
    page.locator("#top select[data-language]").select_option("en")
    see(page, "#top nav", "Tools")


def test_what_is_chosen_on_the_settings_page_holds_at_once_and_after_a_restart(
    plain: Any, browser_page: Any, tmp_path: Path, shoot: Callable[..., None]
) -> None:
    folder = tmp_path.parent.parent / "elsewhere of the tests"
    folder.mkdir(exist_ok=True)
    app, page = plain, browser_page
    page.goto(app.url + "settings")
    see(page, "#settings-machine", "processor")
    expect(page.locator("#settings-rights")).not_to_contain_text(folder.name)
    page.locator("#settings-allow textarea").fill(f"{folder}-that-is-not-there")
    page.click("#save-allow")
    see(page, "#settings-allowed", "is no folder; name one that there is.")
    page.locator("#settings-allow textarea").fill(str(folder))
    page.click("#save-allow")
    see(page, "#settings-rights", folder.name)
    page.get_by_label("Go on with runs that were cut off").check()
    page.click("#save-settings")
    see(page, "#settings-saved", "Saved.")
    shoot(page, "16-settings", full_page=True)
    app.kill()
    app.start(settings={})
    page.reload()
    see(page, "#settings-rights", folder.name)
    expect(page.get_by_label("Go on with runs that were cut off")).to_be_checked(timeout=PATIENCE)
    page.select_option("#set-colours", "1")
    expect(page.locator("body")).to_have_class(re.compile("dark"), timeout=PATIENCE)


READY = {
    "": "#p-output_name input",
    "dataset": "#dataset .grid img",
    "runs": "#runs *",
    "tools": "#run-merge_lora",
    "settings": "#settings-machine pre",
}
"""Path of a page -> what is there last."""

CONTROLS = ("button", "link", "textbox", "searchbox", "checkbox", "radio", "combobox", "spinbutton", "slider", "tab")


def nameless(page: Any) -> list[str]:
    """Controls for which a screen reader has no word. What only shows a result can't be reached."""
    session = page.context.new_cdp_session(page)
    nodes = [node for node in session.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    found = [node for node in nodes if node["role"]["value"] in CONTROLS and not node["name"]["value"].strip()]
    usable = [node for node in found if "disabled" not in {one["name"] for one in node["properties"]}]
    described = [session.send("DOM.describeNode", {"backendNodeId": node["backendDOMNodeId"]}) for node in usable]
    return [str(one["node"].get("attributes", one["node"]["nodeName"])) for one in described]


@pytest.mark.parametrize("path", theme.PAGES)
def test_every_text_can_be_read_and_every_control_has_a_name(plain: Any, browser_page: Any, path: str) -> None:
    page = browser_page
    page.emulate_media(reduced_motion="reduce")
    page.goto(plain.url + path + ("?folder=sd_scripts/starter/demo/20_bloop monster" if path == "dataset" else ""))
    if path == "tools":
        page.click("#open-merge_lora button")
    see(page, "#top nav", theme.PAGES[path])
    expect(page.locator(READY[path]).first).to_be_visible(timeout=PATIENCE)
    assert nameless(page) == []
    judge = (HERE / "reading.js").read_text(encoding="utf-8")
    for dark in (False, True):
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        assert page.evaluate(judge) == [], "dark" if dark else "light"


@contextmanager
def proxy(port: int, prefix: str) -> Iterator[str]:
    """A web server that shows the app under a path, as nginx does."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            if not self.path.startswith(prefix):
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("content-length") or 0)) or None
            headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            request = Request(
                f"http://127.0.0.1:{port}{self.path.removeprefix(prefix) or '/'}", body, headers, method=self.command
            )
            try:
                answer = urlopen(request)
            except HTTPError as error:
                answer = error
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            with suppress(OSError, HTTPException):  # events go on until one side leaves
                while part := answer.read1(1 << 16):
                    self.wfile.write(part)

        do_GET = do_POST = _pass_on

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{prefix}/"
    server.shutdown()
    server.server_close()


def test_every_page_works_under_the_path_of_a_proxy(app: Any, browser_page: Any) -> None:
    page = browser_page
    app.start("--root_path", "/trainer", settings={})
    refused: list[str] = []
    with proxy(app.port, "/trainer") as url:
        page.on("response", lambda got: refused.append(got.url) if got.status == 404 else None)
        page.goto(url)
        see(page, "#live", "No run yet.")
        see(page, "#plan", re.compile(r"\w"))
        for path, place in (
            ("dataset", "#dataset"),
            ("runs", "#runs"),
            ("tools", "#tools"),
            ("settings", "#settings-about"),
        ):
            page.locator("#top nav a", has_text=theme.PAGES[path]).click()
            page.wait_for_url(url + path)
            see(page, place, re.compile(r"\w"))
        page.locator("#top select[data-language]").select_option("de")
        see(page, "#top nav", "Einstellungen")
    assert [found for found in refused if "manifest" not in found and "favicon" not in found] == []
