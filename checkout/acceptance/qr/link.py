"""The short link inside a dynamic code: what a phone's own camera opens.

Scheme, host and code are upper case: a QR symbol packs such characters into 5.5 bits each, so it
is smaller and scans from further away. A code is unguessable and not signed: the shop looks it up
and shows what it stands for before the payer confirms.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

#: Random bytes in a code; 64 bits, where 60 are asked for.
CODE_BYTES = 8
#: Characters of a code: base32 without padding (RFC 4648, section 6).
CODE_LENGTH = 13

_CODE = re.compile(r"[A-Z2-7]{13}", re.ASCII)
# Digits that base32 leaves out, read as the letters they were meant to be.
_MISREAD = str.maketrans({"0": "O", "1": "I", "8": "B", "-": None, " ": None})
_PORTS = {"http": 80, "https": 443}


class LinkError(ValueError):
    """A link, code or address that cannot be used; `field` names which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A payment link taken apart: `origin` as `http://host:port`, `prefix` of the path, `code`."""

    origin: str
    prefix: str
    code: str


def new_code(random_bytes: bytes) -> str:
    """Thirteen base32 characters from at least eight `random_bytes` of a cryptographic source."""
    if len(random_bytes) < CODE_BYTES:
        raise LinkError("code", f"expected {CODE_BYTES} random bytes, got {len(random_bytes)}")
    return base64.b32encode(random_bytes[:CODE_BYTES]).decode("ascii").rstrip("=")


def short_path(path: str) -> str:
    """A path as it may be shown: codes, seals and other long parts cut to four characters."""
    return "/".join(part if len(part) < CODE_LENGTH else f"{part[:4]}…" for part in path.split("/"))


def normalise_code(text: str) -> str:
    """The code in `text`, in any case, with spaces or dashes, with 0 for O, 1 for I or 8 for B.

    LinkError where it cannot be a code.
    """
    code = text.strip().upper().translate(_MISREAD)
    if _CODE.fullmatch(code) is None:
        raise LinkError("code", f"expected {CODE_LENGTH} letters and digits 2-7, got {text[:40]!r}")
    return code


def build_link(base_url: str, code: str) -> str:
    """The link to print: `HTTP://HOST:PORT/P/CODE`.

    `base_url` is where phones reach the shop (`http://192.168.1.5:8000`, `https://pay.example`).
    A path in it keeps its case, since `/Shop` and `/shop` may differ on a server. LinkError where
    `base_url` is no http or https address.
    """
    parts = _split(base_url, field="base_url")
    host = _bracketed(_host(parts, "base_url")).upper()
    port = _port(parts, "base_url")
    shown = f":{port}" if port not in (None, _PORTS[parts.scheme]) else ""
    return (
        f"{parts.scheme.upper()}://{host}{shown}{parts.path.rstrip('/')}/P/{normalise_code(code)}"
    )


def base_url(host: str, port: int, *, https: bool = False) -> str:
    """The address of a server on `host` (name, IPv4 or IPv6) and `port`, without default ports."""
    if not 0 < port < 65_536:
        raise LinkError("port", f"expected 1 to 65535, got {port}")
    scheme = "https" if https else "http"
    shown = f":{port}" if port != _PORTS[scheme] else ""
    return f"{scheme}://{_bracketed(host.strip('[]'))}{shown}"


def parse_link(text: str) -> Link:
    """Take apart a link of ours in any case; LinkError where it is another kind of text."""
    parts = _split(text.strip(), field="link")
    prefix, separator, code = parts.path.rstrip("/").rpartition("/")
    prefix, marker = prefix[:-2], prefix[-2:]
    if not separator or marker.lower() != "/p":
        raise LinkError("link", "expected a path that ends in /P/ and a code")
    host = _bracketed(_host(parts, "link")).lower()
    port = _port(parts, "link") or _PORTS[parts.scheme]
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port != _PORTS[parts.scheme] else "")
    return Link(origin=origin, prefix=prefix, code=normalise_code(code))


def is_link(text: str) -> bool:
    """Whether `text` has the form of a link of ours, whoever's server it names."""
    try:
        parse_link(text)
    except LinkError:
        return False
    return True


def belongs_to(link: Link, base_urls: tuple[str, ...]) -> bool:
    """Whether `link` leads to one of the addresses at which this shop is reached."""
    return any(_same_place(link, base) for base in base_urls)


def _same_place(link: Link, base: str) -> bool:
    probe = parse_link(build_link(base, "A" * CODE_LENGTH))
    return (link.origin, link.prefix) == (probe.origin, probe.prefix)


def _split(text: str, *, field: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise LinkError(field, f"not an address: {text[:60]!r}") from None
    if parts.scheme not in _PORTS:  # urlsplit lowers the scheme
        raise LinkError(field, f"expected http:// or https://, got {text[:60]!r}")
    if parts.username is not None or parts.password is not None:
        raise LinkError(field, "expected no user name or password in the address")
    return parts


def _host(parts: SplitResult, field: str) -> str:
    host = parts.hostname
    if not host:
        raise LinkError(field, "expected a host")
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise LinkError(field, f"not a host: {host[:60]!r}") from None


def _port(parts: SplitResult, field: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise LinkError(field, "expected a port from 1 to 65535") from None


def _bracketed(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[{address}]" if address.version == 6 else str(address)
