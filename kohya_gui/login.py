"""The way in where a login is asked for: our own small page in place of Gradio's, and the limit to trying."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from html import escape
from math import ceil

from anyio import to_thread
from fastapi import HTTPException

from . import texts, theme
from .texts import t
from .users import Attempts, Users

address: ContextVar[str] = ContextVar("address of the visitor", default="")
TEXTS = (
    "Sign in", "Name", "Password", "Name or password is wrong.", "The app does not answer; try again later.",
)  # fmt: skip


@dataclass
class Door:
    """Asks `accepts` whether name and password are right, and lets nobody try too often."""

    accepts: Callable[[str, str], bool]
    attempts: Attempts = field(default_factory=Attempts)

    async def admits(self, name: str, password: str) -> bool:
        """An attempt counts as failed until it has succeeded, so that many at once are no way around the limit."""
        whats = (f"address {address.get()}", f"name {name}")
        wait = self.attempts.wait(*whats)
        if wait:
            raise HTTPException(429, t("Too many wrong attempts; try again in {seconds} seconds.", seconds=ceil(wait)))
        self.attempts.failed(*whats)
        if not await to_thread.run_sync(self.accepts, name, password):
            return False
        self.attempts.succeeded(*whats)
        return True


def one_user(name: str, password: str) -> Door:
    def accepts(given_name: str, given_password: str) -> bool:
        right = hmac.compare_digest(given_name.encode(), name.encode())
        return hmac.compare_digest(given_password.encode(), password.encode()) and right

    return Door(accepts)


def several_users(users: Users) -> Door:
    return Door(users.accepts)


def page(title: str, language: str) -> bytes:
    """Light, and with words for what went wrong. The browser's password store fills it in."""
    with texts.speaking(language):
        words = {text: escape(t(text)) for text in TEXTS}
        said = json.dumps({400: t(TEXTS[3]), 0: t(TEXTS[4])}, ensure_ascii=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{theme.text("login.css")}</style></head>
<body><main><h1>{escape(title)}</h1><form id="login">
<label for="username">{words["Name"]}</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">{words["Password"]}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<p id="said" role="alert"></p><button type="submit">{words["Sign in"]}</button></form></main>
<script>const said = {said};{theme.text("login.js")}</script></body></html>""".encode()
