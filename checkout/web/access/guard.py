"""Who may reach which page.

Strangers on the LAN reach the payer's pages only. The counter, the back office, the comparison and
the API are open to this machine and to a visitor with the operator's password, the API also to one
with the merchant key. Every endpoint is closed unless it is marked as open.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Flask, Request, Response, current_app, g, redirect, request, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.datastructures import EnvironHeaders

from checkout.shop.webhooks.signing import ID as WEBHOOK_ID
from checkout.web import assets
from checkout.web.access.credentials import Credentials
from checkout.web.access.ended_sessions import SESSION_S, EndedSessions
from checkout.web.access.proxies import PROXIED
from checkout.web.access.rate_limit import RateLimit
from checkout.web.problems import Problem, wants_json

COOKIE = "checkout_operator"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Headers by which a proxy says that it forwards: the peer address is then not the visitor's.
FORWARDING_HEADERS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Via",
)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that, browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=()",
}
_OPEN = "checkout_open"
View = TypeVar("View", bound=Callable[..., object])


class Visitor(StrEnum):
    """Who sent a request, by what they may do."""

    LOCAL = "local"
    OPERATOR = "operator"
    MERCHANT = "merchant"
    STRANGER = "stranger"


def open_to_all(view: View) -> View:
    """Mark a view that strangers may reach."""
    setattr(view, _OPEN, True)
    return view


def is_loopback(address: str | None) -> bool:
    """Whether a peer's address is this machine's own (RFC 1122 127/8, RFC 4291 ::1)."""
    try:
        parsed = ipaddress.ip_address((address or "").split("%", 1)[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def host_name(host: str) -> str | None:
    """The name in a Host header without its port, lower case; None when it is malformed."""
    try:
        parsed = urlsplit("//" + host)
        parsed.port  # noqa: B018 - raises ValueError where it is no number
    except ValueError:
        return None
    if parsed.username is not None or parsed.path or parsed.query or parsed.fragment:
        return None
    return (parsed.hostname or "").rstrip(".") or None


def is_local_name(name: str | None) -> bool:
    """Whether `name` always means this machine, whatever a name server answers."""
    return name is not None and (
        name == "localhost" or name.endswith(".localhost") or is_loopback(name)
    )


def is_forwarded(headers: EnvironHeaders) -> bool:
    """Whether a proxy forwarded the request."""
    return any(name in headers for name in FORWARDING_HEADERS)


class Guard:
    """Decides for each request who sent it and whether that visitor may."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        sign_ins: RateLimit,
        ended: EndedSessions,
        public_url: str | None = None,
    ) -> None:
        self.credentials = credentials
        self.public_url = public_url
        self._sign_ins = sign_ins
        self._ended = ended
        self._sessions = URLSafeTimedSerializer(credentials.signing_key, salt="operator")
        machine = socket.gethostname().lower()
        self._names = {machine, f"{machine}.local", machine.split(".")[0]}
        if public_url is not None:
            self._names.add((urlsplit(public_url).hostname or "").lower())

    def install(self, app: Flask) -> None:
        """Guard every request of `app` and put the security headers on every response."""
        app.before_request(self._admit)
        app.after_request(harden)

    def visitor(self, request: Request) -> Visitor:
        """Who sent a request; Problem(not-signed-in) for a wrong merchant key."""
        if request.path.startswith("/api/") and "Authorization" in request.headers:
            return self._by_key(request)
        if self._is_local(request):
            return Visitor.LOCAL
        if self._has_session(request):
            return Visitor.OPERATOR
        return Visitor.STRANGER

    def sign_in(self, password: str, address: str | None) -> str:
        """The session cookie for the right password; Problem(not-signed-in, too-many-tries)."""
        self._take_try(address)
        if not self.credentials.password_matches(password):
            raise Problem(kind="not-signed-in", detail="That is not the operator's password.")
        self._sign_ins.succeeded(address)
        return self._sessions.dumps([self._session_mark(), secrets.token_urlsafe(12)])

    def sign_out(self, session: str) -> None:
        """End the session of a cookie everywhere; a copy of the cookie opens nothing then."""
        name = self._session_name(session)
        if name is not None:
            self._ended.add(name)

    def _session_mark(self) -> str:
        # Bound to the password's hash, so that a new password ends every session.
        return self.credentials.password_hash[-16:]

    def _has_session(self, request: Request) -> bool:
        name = self._session_name(request.cookies.get(COOKIE, ""))
        return name is not None and not self._ended.has(name)

    def _session_name(self, session: str) -> str | None:
        try:
            mark, name = self._sessions.loads(session, max_age=SESSION_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return str(name) if mark == self._session_mark() else None

    def _is_local(self, request: Request) -> bool:
        # Behind a public URL the tunnel connects from loopback, so loopback proves nothing.
        return (
            self.public_url is None
            and PROXIED not in request.environ
            and is_loopback(request.remote_addr)
            and is_local_name(host_name(request.host))
            and not is_forwarded(request.headers)  # type: ignore[arg-type]
            # A merchant names the address of a webhook: the shop that calls it proves nothing.
            and WEBHOOK_ID not in request.headers
        )

    def _by_key(self, request: Request) -> Visitor:
        scheme, _, key = request.headers["Authorization"].partition(" ")
        # The right key never waits: 192 random bits cannot be guessed at any rate.
        if scheme.lower() == "bearer" and self.credentials.merchant_key_matches(key.strip()):
            return Visitor.MERCHANT
        self._take_try(request.remote_addr)
        raise _unauthorized("That is not the merchant key.")

    def _take_try(self, address: str | None) -> None:
        wait_s = self._sign_ins.take(address)
        if wait_s > 0:
            detail = f"Too many wrong tries; wait {wait_s:.0f} seconds."
            raise Problem(kind="too-many-tries", detail=detail, retry_after_s=wait_s)

    def is_encrypted(self, request: Request) -> bool:
        """Whether the visitor's connection is encrypted, here or at the proxy of the public URL."""
        public = (self.public_url or "").lower()
        host = public.removeprefix("https://").split("/", 1)[0]
        return request.is_secure or (public.startswith("https://") and host == request.host.lower())

    def _admit(self) -> Response | None:
        g.visitor = Visitor.STRANGER
        self._check_host(request)
        # A page of another site does not know the merchant key.
        if "Authorization" not in request.headers or not wants_json():
            check_origin(request)
        g.visitor = self.visitor(request)
        if g.visitor is not Visitor.STRANGER or _is_open(request):
            return None
        if wants_json():
            raise _unauthorized("Send the merchant key as a bearer token.")
        if request.method in SAFE_METHODS:
            wanted = request.full_path.rstrip("?")
            return redirect(url_for("login.login", next=wanted), 303)  # type: ignore[return-value]
        raise Problem(kind="not-signed-in", detail="Sign in with the operator's password first.")

    def _check_host(self, request: Request) -> None:
        name = host_name(request.host)
        if name is None or not (is_local_name(name) or name in self._names or _is_address(name)):
            detail = "Open this page by the machine's address, its name or its public URL."
            raise Problem(kind="wrong-host", detail=detail)


def harden(response: Response) -> Response:
    """Put the security headers on a response that does not have them yet."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def check_origin(request: Request) -> None:
    """Problem(cross-site) for a request by another site's page (RFC 6454 Origin, Fetch Metadata).

    Programs send neither header and pass; a browser sends at least one with a cross-site POST.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if request.method in SAFE_METHODS:
        # Other sites may link to pages; they may not use the API or its pictures.
        if site in ("cross-site", "same-site") and wants_json():
            raise Problem(kind="cross-site", detail="The API is not for other sites' pages.")
        return
    if site is not None and site not in ("same-origin", "none"):
        raise Problem(kind="cross-site", detail="This form was sent by another site's page.")
    origin = request.headers.get("Origin")
    if origin is not None and not _same_host(origin, request.host):
        raise Problem(kind="cross-site", detail="This form was sent by another site's page.")


def _same_host(origin: str, host: str) -> bool:
    # The scheme is not compared: TLS may end at a proxy.
    return origin.lower().partition("://")[2] == host.lower()


def _is_open(request: Request) -> bool:
    if request.endpoint is None:
        return True  # no such page, or another method: the 404 or 405 is for all
    if request.endpoint == "static":
        return assets.is_open(str((request.view_args or {}).get("filename", "")))
    return bool(getattr(current_app.view_functions[request.endpoint], _OPEN, False))


def _is_address(name: str) -> bool:
    # DNS rebinding needs a name: an address is not looked up.
    try:
        ipaddress.ip_address(name.split("%", 1)[0])
    except ValueError:
        return False
    return True


def _unauthorized(detail: str) -> Problem:
    challenge = {"WWW-Authenticate": 'Bearer realm="checkout"'}
    return Problem(kind="not-signed-in", detail=detail, headers=challenge)
