"""The browser that the other tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_the_browser_clicks_and_sees(browser_page: Page) -> None:
    browser_page.set_content("<button onclick=\"this.textContent='pressed'\">press</button>")
    browser_page.get_by_role("button").click()
    assert browser_page.get_by_role("button").inner_text() == "pressed"
