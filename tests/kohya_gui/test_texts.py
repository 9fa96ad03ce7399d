"""Texts in the visitor's language."""

from __future__ import annotations

import json

import orjson
import pytest

from kohya_gui import delivery, texts, theme
from kohya_gui.texts import t

GERMAN = {
    "Start": "Starten",
    "step {n}": "Schritt {n}",
    "More ({count})": "Mehr ({count})",
    "Save & go": "Sichern & weiter",
}


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "table", lambda which: GERMAN if which == "de" else {})


@pytest.mark.parametrize(("cookie", "accepted", "expected"), [
    ("", "", "en"),
    ("", "fr-CH, de;q=0.8, ja;q=0.9", "ja"),
    ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
    ("", "fr, pt;q=0.5", "en"),
    ("", "de;q=much, ja;q=0.1", "ja"),
    ("a=b; language=de", "ja", "de"),
    ("language=xx", "ja", "ja"),
    ("mylanguage=de", "en", "en"),
])  # fmt: skip
def test_what_was_chosen_on_the_page_wins_over_what_the_browser_asks_for(
    cookie: str, accepted: str, expected: str
) -> None:
    assert texts.preferred(cookie, accepted) == expected


def test_a_text_is_in_the_language_of_whoever_asks() -> None:
    assert t("Start") == "Start"
    with texts.speaking("de"):
        assert t("Start") == "Starten"
        assert t("step {n}", n=3) == "Schritt 3"
        assert t("Not in the table") == "Not in the table"
    assert t("step {n} of {total}", n="{total}", total=5) == "step {total} of 5"


def test_texts_built_with_values_are_translated_when_the_page_is_sent() -> None:
    with texts.building():
        assert t("More ({count})", count=7) == "More (7)"
    assert texts.translated("More (7)", "de") == "Mehr (7)"
    assert texts.translated("More (8)", "de") == "More (8)"


def sent(config: object, which: str) -> tuple[str, dict[str, object]]:
    html = b'<html lang="en"><head><script>window.gradio_config = ' + orjson.dumps(config) + b";</script></head></html>"
    whole = delivery.page(html, which, "<style></style>").decode()
    text = whole.split("window.gradio_config = ")[1].split(";</script>")[0]
    return whole, json.loads(text)


def test_a_page_leaves_in_its_visitors_language() -> None:
    components = [
        {"type": "button", "props": {"value": "Start"}},
        {"type": "textbox", "props": {"value": "Start", "label": "Start", "info": "Unknown."}},
        {"type": "dropdown", "props": {"choices": [["Start", "start"]], "value": "start"}},
        {"type": "html", "props": {"value": '<h2 title="Start">Start</h2> <p>Save &amp; go</p>'}},
    ]
    whole, config = sent({"pages": [["", "Start", True]], "components": components}, "de")
    assert whole.startswith('<html lang="de">') and whole.endswith("<style></style></head></html>")
    assert config["pages"] == [["", "Starten", True]]
    assert [component["props"] for component in config["components"]] == [
        {"value": "Starten"},
        {"value": "Start", "label": "Starten", "info": "Unknown."},
        {"choices": [["Starten", "start"]], "value": "start"},
        {"value": '<h2 title="Starten">Starten</h2> <p>Sichern &amp; weiter</p>'},
    ]


def test_no_text_of_a_page_can_end_its_script() -> None:
    whole, config = sent({"components": [{"type": "textbox", "props": {"label": "</script><script>'&"}}]}, "de")
    assert whole.count("</script>") == 1
    assert config["components"][0]["props"]["label"] == "</script><script>'&"


def test_an_english_page_is_not_taken_apart() -> None:
    html = b"<html><head>window.gradio_config = not JSON;</script></head></html>"
    assert delivery.page(html, "en", "!") == html.replace(b"</head>", b"!</head>")


def test_texts_of_scripts_are_found() -> None:
    assert theme.script_texts('t("a b") + window.t("c") + cat("no") + t("d \\"e\\" {n}", {n: 1})') == [
        "a b",
        "c",
        'd "e" {n}',
    ]
