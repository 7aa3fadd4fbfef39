"""The visitor's address behind proxies that the operator trusts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: In the environment of a request that a trusted proxy sent: its peer proves nothing.
PROXIED = "checkout.proxied"


class TrustedProxies:
    """Gives an application the address and scheme that a trusted proxy states.

    `networks` are addresses and networks in CIDR notation. Of X-Forwarded-For the last address
    counts that is no trusted proxy's: a visitor can write only those before it. From any other peer
    the header counts for nothing.
    """

    def __init__(self, application: WSGIApplication, networks: Iterable[str]) -> None:
        self._application = application
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """As the application (PEP 3333)."""
        if self._trusts(environ.get("REMOTE_ADDR", "")):
            environ[PROXIED] = True
            environ["REMOTE_ADDR"] = self._visitor(environ)
            if environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https":
                environ["wsgi.url_scheme"] = "https"
        return self._application(environ, start_response)

    def _visitor(self, environ: WSGIEnvironment) -> str:
        address = str(environ["REMOTE_ADDR"])
        for stated in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            parsed = _address(stated)
            if parsed is None:
                break  # what stands before it cannot be trusted
            address = str(parsed)
            if not self._trusts(address):
                break
        return address

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text.strip().strip("[]").split("%", 1)[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
