"""Addresses of servers: taken apart, checked, and as they may be shown."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit, urlunsplit

from headrace.infra.errors import UsageError

_LOGIN = re.compile(r"(://)(?:([^:/?#@\s]*):)?\S*@")
_TOKEN = re.compile(r"([?&](?:password|passwd|pwd|token|secret|key|api_key)=)[^&#\s]+", re.I)


def shown(text: str) -> str:
    """Return an address, or a sentence with some, without secrets, so that it may be shown.

    Of `//user:password@` the user stays; a name alone may be a token, and goes.
    """

    def masked(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}:***@" if found[2] else f"{found[1]}***@"

    return _TOKEN.sub(r"\1***", _LOGIN.sub(masked, text))


def of_http(variable: str, text: str, form: str) -> tuple[str, str | None]:
    """(address without login and without a slash at its end, `user:password` or None).

    Args:
        variable: what holds it.
        text: what was given.
        form: how it is to be written.

    Raises:
        UsageError: it is no address of an HTTP server.
    """
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or re.search(r"[\s\x00-\x1f\x7f]", text) or parts.query or parts.fragment:
        raise UsageError(
            f"{variable}={shown(text)} is not the address of a server",
            f"write {variable}={form}, or unset it",
        )
    login, _, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    url = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    return url, f"{unquote(user)}:{unquote(password)}" if login else None
