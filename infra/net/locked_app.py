"""A web application (ASGI) behind a lock: whose pages call it, and who may.

A server on loopback is reached by every account of the machine, and by every web page that is open
in a browser on it. So each request has to
- name this machine as the host that it is for, or a page could come in under its own name that
  leads here (DNS rebinding);
- come from a page of the server itself, if it comes from a page (Origin, Sec-Fetch-Site);
- show the password (HTTP Basic, which browsers ask for and keep for this very address);
- if it is a POST, be of a type that other servers' pages can't send without asking first.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.infra.net.credentials import USER

_HERE = {"127.0.0.1", "localhost", "::1"}
_SIMPLE = {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"}
"""What a page may send to any server (https://fetch.spec.whatwg.org, CORS-safelisted)."""
_READS = ("GET", "HEAD")


class Locked:
    """`app` for whoever shows the password."""

    def __init__(
        self,
        app: ASGIApp,
        password: str,
        realm: str,
        unlocked: Collection[str] = (),
        sockets: bool = False,
    ) -> None:
        """Lock an application.

        Args:
            app: what is behind the lock.
            password: of the user `headrace`.
            realm: what a browser calls it when it asks.
            unlocked: paths that may be read without a password: health checks.
            sockets: whether WebSockets are let through without one, because `app` asks for it in
                their first message; without, they are refused.
        """
        self._app, self._realm = app, realm
        self._word = base64.b64encode(f"{USER}:{password}".encode())
        self._unlocked, self._sockets = frozenset(unlocked), sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with what is wrong."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, _guarded(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _answer(send, *refused, self._realm)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """(status, reason) where a request is refused."""
        headers = headers_of(scope)
        if why := foreign(scope, headers):
            return 403, why
        if scope["type"] == "websocket":
            return None if self._sockets else (403, "no WebSockets here")
        if not self._may_enter(scope, headers):
            return 401, f"log in as {USER}; `headrace env` prints the password"
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if scope["method"] == "POST" and kind.decode("latin-1") in _SIMPLE:
            return 415, "send application/json"
        return None

    def _may_enter(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        if scope["method"] in _READS and scope["path"] in self._unlocked:
            return True
        scheme, _, word = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"basic" and hmac.compare_digest(word.strip(), self._word)


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Header -> value; of several of one name all, so that none hides behind another."""
    out: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        out[name] = out[name] + b", " + value if name in out else value
    return out


def foreign(scope: Scope, headers: dict[bytes, bytes]) -> str | None:
    """Why a request is not one of this machine's own, by its host and the page that it is from."""
    host = headers.get(b"host", b"").decode("latin-1")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in _HERE:
        return "this host has another name"
    origin = headers.get(b"origin")
    if origin is not None:
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        if origin.decode("latin-1") != f"{scheme}://{host}":
            return "a page from another address may not call this server"
    site = headers.get(b"sec-fetch-site", b"none")
    # A link from elsewhere that a person follows opens a page, and no other page sees it.
    follows = (
        scope["type"] == "http"
        and scope["method"] in _READS
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )
    if site not in (b"none", b"same-origin") and not follows:
        return "a page from another address may not call this server"
    return None


def from_page(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser has sent a request, as far as it tells."""
    return any(h in headers for h in (b"origin", b"sec-fetch-site", b"cookie", b"referer"))


_GUARDS = [(b"x-frame-options", b"SAMEORIGIN"), (b"cross-origin-resource-policy", b"same-origin")]


def _guarded(send: Send) -> Send:
    """Return a `send` whose answers no page of another address can show or load."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            more = [guard for guard in _GUARDS if guard[0] not in names]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return guarded


async def _answer(send: Send, status: int, reason: str, realm: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", f'Basic realm="{realm}", charset="UTF-8"'.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
