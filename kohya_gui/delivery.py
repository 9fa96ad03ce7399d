"""How pages leave the app: each in its visitor's language, with the scripts and styles of that page and no other.

Gradio's own gr.I18n would send every language to every visitor, and would wrap every label; here a page is translated
once, on its way out, and an English one is not touched at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape, unescape
from typing import Any

import brotli  # type: ignore[import-untyped]  # comes with Gradio
import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import login, texts

CONFIG_BEGINS = b"window.gradio_config = "
MUST_SIGN_IN = b'"auth_required":true'
CONFIG_ENDS = b";</script>"
TEXT_PROPS = ("label", "info", "placeholder", "title", "main_page_name")
NAMED_BY_VALUE = ("button", "uploadbutton", "downloadbutton", "duplicatebutton", "markdown")
TAG = re.compile(r"(<[^>]*>)")
READ_ALOUD = re.compile(r'\b(title|aria-label|placeholder|alt)="([^"]*)"')


class Delivery:
    """ASGI middleware. `pages`: path without slashes -> what is put into the head of that page, for a language.

    sign_in: the page for whoever has to sign in first.
    """

    def __init__(
        self,
        app: ASGIApp,
        pages: Mapping[str, Callable[[str], str]],
        sign_in: Callable[[str], bytes] = lambda which: b"",
    ) -> None:
        self.app = app
        self.pages = pages
        self.sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        which = texts.preferred(headers.get("cookie", ""), headers.get("accept-language", ""))
        login.address.set((scope.get("client") or ("",))[0])
        with texts.speaking(which):
            await self.app(scope, receive, self._on_the_way(scope, send, which))

    def _on_the_way(self, scope: Scope, send: Send, which: str) -> Send:
        path, accepted = scope["path"].strip("/"), Headers(scope=scope).get("accept-encoding", "")
        if scope["method"] != "GET" or (path != "config" and path not in self.pages):
            return send
        if path == "config":
            return (
                send if which == texts.ENGLISH else _Rewriting(send, accepted, lambda body: _dump(_config(body, which)))
            )
        return _Rewriting(send, accepted, lambda body: self._page(body, path, which))

    def _page(self, body: bytes, path: str, which: str) -> bytes:
        begin = body.find(CONFIG_BEGINS)
        if MUST_SIGN_IN in body[begin : begin + 200]:
            return self.sign_in(which)
        return page(body, which, self.pages[path](which))


class _Rewriting:
    """Holds an answer back until it is whole, and sends what `change` makes of it, compressed where `accepted` says so:
    Gradio compresses no pages."""

    def __init__(self, send: Send, accepted: str, change: Callable[[bytes], bytes]) -> None:
        self.send, self.accepted, self.change = send, accepted, change
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self.start = message
            return
        if self.start is None:
            return await self.send(message)
        self.body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = self.change(self.body)
        headers = MutableHeaders(raw=self.start["headers"])
        if "br" in self.accepted:
            body = brotli.compress(body, quality=5)
            headers["content-encoding"] = "br"
        headers["content-length"] = str(len(body))
        headers["cache-control"] = "no-cache"
        headers["vary"] = "Cookie, Accept-Language, Accept-Encoding"
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": body})


def page(body: bytes, which: str, head: str) -> bytes:
    """The HTML of a page in the visitor's language, with `head` at the end of its head."""
    begin = body.find(CONFIG_BEGINS)
    if begin >= 0 and which != texts.ENGLISH:
        begin += len(CONFIG_BEGINS)
        end = body.index(CONFIG_ENDS, begin)
        body = body[:begin] + _inside_script(_config(body[begin:end], which)) + body[end:]
        body = body.replace(b'lang="en"', f'lang="{which}"'.encode(), 1)
    return body.replace(b"</head>", head.encode() + b"</head>", 1)


def _dump(config: Any) -> bytes:
    return orjson.dumps(config)


def _inside_script(config: Any) -> bytes:
    """Nothing in it can end the script or begin a comment."""
    text = _dump(config)
    for sign in b"<>&'":
        text = text.replace(bytes([sign]), b"\\u%04x" % sign)
    return text


def _config(text: bytes, which: str) -> Any:
    config = orjson.loads(text)
    config["pages"] = [
        [path, texts.translated(name, which), *more] if more else path for path, name, *more in _pairs(config)
    ]
    for component in config.get("components", ()):
        _component(component, which)
    return config


def _pairs(config: Any) -> list[Any]:
    return [entry if isinstance(entry, list) else [entry, ""] for entry in config.get("pages", ())]


def _component(component: dict[str, Any], which: str) -> None:
    props, kind = component.get("props", {}), component.get("type")
    for name in TEXT_PROPS:
        if isinstance(props.get(name), str):
            props[name] = texts.translated(props[name], which)
    value = props.get("value")
    if isinstance(value, str) and kind == "html":
        props["value"] = markup(value, which)
    elif isinstance(value, str) and kind in NAMED_BY_VALUE:
        props["value"] = texts.translated(value, which)
    if isinstance(props.get("choices"), list):
        props["choices"] = _choices(props["choices"], which)


def _choices(choices: list[Any], which: str) -> list[Any]:
    """A "no" is a word where "yes" is the other answer; as a precision it is a value that people know and copy."""
    answers = ["yes", "yes"] in choices
    return [choice if choice == ["no", "no"] and not answers else _choice(choice, which) for choice in choices]


def _choice(choice: Any, which: str) -> Any:
    if isinstance(choice, list) and len(choice) == 2 and isinstance(choice[0], str):
        return [texts.translated(choice[0], which), choice[1]]
    return choice


def markup(html: str, which: str) -> str:
    """Every text between tags, and every attribute that is shown or read aloud, in that language."""
    return "".join(
        READ_ALOUD.sub(lambda found: f'{found[1]}="{_escaped(found[2], which)}"', part)
        if part.startswith("<")
        else _node(part, which)
        for part in TAG.split(html)
    )


def _escaped(text: str, which: str) -> str:
    return escape(texts.translated(unescape(text), which))


def _node(part: str, which: str) -> str:
    text = part.strip()
    return part.replace(text, _escaped(text, which)) if text else part
