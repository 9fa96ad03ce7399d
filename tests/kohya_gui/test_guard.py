"""What another site's page in the same browser gets from the app: nothing."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from kohya_gui.guard import FOREIGN, STRANGE_NAME, Guard


def served(any_name: bool = False) -> TestClient:
    routes = [Route("/", lambda request: PlainTextResponse("in"), methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Guard, any_name=any_name)]))


@pytest.mark.parametrize(("host", "is_own"), [
    ("localhost", True),
    ("localhost:7860", True),
    ("127.0.0.1:7860", True),
    ("[::1]:7860", True),
    ("192.168.1.5:7860", True),
    ("evil.example", False),
    ("evil.example:7860", False),
    ("127.0.0.1.evil.example:7860", False),
    ("localhost.evil.example", False),
    ("", False),
])  # fmt: skip
def test_without_a_login_the_app_answers_only_to_names_that_no_other_site_can_take(host: str, is_own: bool) -> None:
    answer = served().get("/", headers={"host": host})
    assert (answer.status_code, answer.text) == (
        (200, "in") if is_own else (403, STRANGE_NAME.format(host=host, port=80))
    )
    assert served(any_name=True).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(("headers", "is_let_in"), [
    ({}, True),  # a program
    ({"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}, True),
    ({"sec-fetch-site": "none", "sec-fetch-dest": "document"}, True),  # typed by hand
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "empty"}, False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}, False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, False),
    ({"sec-fetch-site": "same-site", "sec-fetch-dest": "empty"}, False),  # another port of this machine
    ({"origin": "http://localhost:7860"}, True),
    ({"origin": "http://localhost:3000"}, False),
    ({"origin": "https://evil.example"}, False),
    ({"origin": "null"}, False),  # a page from a file, or in a frame without rights
    ({"origin": "https://trainer.example", "x-forwarded-host": "trainer.example"}, True),
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_page_can_ask_for_or_do_anything(method: str, headers: dict[str, str], is_let_in: bool) -> None:
    answer = served().request(method, "/", headers={"host": "localhost:7860", **headers})
    assert (answer.status_code, answer.text) == ((200, "in") if is_let_in else (403, FOREIGN))


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 403)])
def test_a_link_on_another_page_leads_in_but_a_form_there_does_not(method: str, status: int) -> None:
    headers = {"host": "localhost:7860", "sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    assert served().request(method, "/", headers=headers).status_code == status


def test_only_with_a_login_another_page_may_show_the_app_in_a_frame() -> None:
    headers = {"host": "localhost:7860", "sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}
    assert served().get("/", headers=headers).status_code == 403
    assert served(any_name=True).get("/", headers=headers).status_code == 200
