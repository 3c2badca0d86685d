"""Which web pages may talk to this node: browsers say where a page comes from, and other programs do not.

By default that is pages of this machine, and the node's own page under an address (not under a name, which anybody can
point at this machine). ``--rpc-cors`` names others, or ``all``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Origins:
    """Pages by their origins. ``allowed`` are origins such as ``https://example.org``, or ``all``."""

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        self._everybody = "all" in allowed
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a request of a page from ``origin``, sent to ``host``, is answered. No origin: it is no page's."""
        if origin is None or self._everybody or origin.lower() in self._allowed:
            return True
        try:
            page, here = urlsplit(origin), urlsplit(f"//{host or ''}")
            name = page.hostname or ""
        except ValueError:
            return False
        if page.scheme not in ("http", "https"):
            return False
        return name in LOCAL_NAMES or (page.netloc.lower() == here.netloc.lower() and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def cors_headers(origin: str | None) -> Mapping[str, str]:
    """What lets the page read the answer."""
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type, Authorization, Content-Range, Range",
        "Access-Control-Expose-Headers": "Content-Range, Upload-Offset",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
