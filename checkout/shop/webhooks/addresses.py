"""Where a webhook may be sent: anywhere by https, by plain http within this network only."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from checkout.errors import ShopError
from checkout.shop.webhooks.tables import URL_LENGTH

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_NEAR_NAMES = (".localhost", ".local", ".lan", ".internal", ".home.arpa", ".test")
_PLAIN = "plain http goes to loopback and private addresses only: use https"

# Addresses that a router or the kernel turns into any IPv4 address: IPv4-compatible
# (RFC 4291, 2.5.5.1), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), 6to4 (RFC 3056).
_TRANSLATED = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
# Clouds serve their machines' credentials here, too.
_CREDENTIALS = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The parts of an endpoint's URL that a request needs."""

    secure: bool
    host: str
    port: int
    path: str  # with its query

    @property
    def authority(self) -> str:
        """The `Host` header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


def target_of(url: str) -> Target:
    """The parts of a URL; ShopError(url) says why it cannot be used.

    By plain http the name must look like one of this machine or network; its addresses are checked
    before each request (`resolve`).
    """
    if not 1 <= len(url) <= URL_LENGTH or _VISIBLE.fullmatch(url) is None:
        raise _refused(f"expected 1 to {URL_LENGTH} visible ASCII characters")
    try:
        parts, port = _split(url)
    except ValueError:
        raise _refused("it cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise _refused("expected http:// or https://")
    if "@" in parts.netloc:
        raise _refused("a user name or password in it would be sent in the open: leave them out")
    if parts.fragment:
        raise _refused("a fragment (#...) is never sent: leave it out")
    host = (parts.hostname or "").rstrip(".")
    if _HOST.fullmatch(host) is None or port == 0:
        raise _refused("expected a host name or address, and a port of 1 to 65535")
    secure = parts.scheme == "https"
    _check_host(host, secure=secure)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure=secure, host=host, port=port or (443 if secure else 80), path=path)


def resolve(target: Target) -> list[str]:
    """The addresses that a request may go to now, best first.

    OSError where the name has none; ShopError(url) where one of them is forbidden.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("the host name cannot be looked up") from None
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in texts:
        _check_address(ipaddress.ip_address(text.split("%", 1)[0]), secure=target.secure)
    return texts


def _split(url: str) -> tuple[SplitResult, int | None]:
    parts = urlsplit(url)
    return parts, parts.port  # ValueError where the port is no number or too high


def _check_host(host: str, *, secure: bool) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        near = host == "localhost" or "." not in host or host.lower().endswith(_NEAR_NAMES)
        if not (secure or near):
            raise _refused(_PLAIN) from None
    else:
        _check_address(address, secure=secure)


def _check_address(address: Address, *, secure: bool) -> None:
    plain: Address = getattr(address, "ipv4_mapped", None) or address
    if plain in _CREDENTIALS:
        raise _refused("no webhook is sent to the address of a cloud's credentials")
    # Clouds serve their machines' credentials at link-local addresses; the others name no host.
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified:
        raise _refused("no webhook is sent to link-local, multicast or unspecified addresses")
    if not plain.is_loopback and any(plain in network for network in _TRANSLATED):
        raise _refused("no webhook is sent to IPv6 addresses that stand for IPv4 ones")
    if not (secure or plain.is_loopback or plain.is_private):
        raise _refused(_PLAIN)


def _refused(why: str) -> ShopError:
    return ShopError("url", f"url: {why}", "url")
