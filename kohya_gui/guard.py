"""What stands before everything: other sites' pages can make a browser call the app, and must not get anything by it.

A page of another site can send requests to the app, with the visitor's cookies; and where its own name suddenly stands
for this machine ("DNS rebinding"), the browser takes the app for a part of that site and lets it read the answers too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OWN_NAMES = ("localhost",)
STRANGE_NAME = (
    "The app was called {host}, which is no name of this machine, so the request may be another site's trick. Open "
    "http://localhost:{port}, or where a proxy shows the app under that name start it with a login (--users) or "
    "--no-auth."
)
FOREIGN = (
    "This request came from another site's page, so it was not obeyed. Where a proxy shows the app, let it pass on the "
    "Host header as it is."
)


class Guard:
    """ASGI middleware. any_name: the app answers to whatever name it is called by, because there is a login, or because
    it was said that none is wanted. Then other pages may show it in a frame, too."""

    def __init__(self, app: ASGIApp, any_name: bool) -> None:
        self.app = app
        self.any_name = any_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sentence = self._objection(scope) if scope["type"] == "http" else ""
        answer = PlainTextResponse(sentence, 403) if sentence else self.app
        await answer(scope, receive, send)

    def _objection(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.any_name and not is_own_name(host):
            return STRANGE_NAME.format(host=host, port=(scope.get("server") or ("", ""))[1])
        ways_in = ("document", "iframe") if self.any_name else ("document",)
        return FOREIGN if is_foreign(scope["method"], headers, ways_in) else ""


def is_own_name(host: str) -> bool:
    """Whether a Host header names this machine; only names can be given another meaning, addresses can't."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name in OWN_NAMES:
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_foreign(method: str, headers: Mapping[str, str], ways_in: Sequence[str]) -> bool:
    """Whether another site's page sent it. Links from there are welcome, as are programs that are no browser.

    Browsers say where a request comes from in Sec-Fetch-Site, but only over https and to this machine; elsewhere in
    Origin, if it can change anything. ways_in: what another page may show the app as, in words of Sec-Fetch-Dest.
    """
    site = headers.get("sec-fetch-site", "")
    if site:
        is_way_in = method == "GET" and headers.get("sec-fetch-dest") in ways_in
        return site not in ("same-origin", "none") and not is_way_in
    origin = headers.get("origin", "")
    ours = (headers.get("host"), headers.get("x-forwarded-host"))
    return bool(origin) and origin.partition("://")[2] not in ours
