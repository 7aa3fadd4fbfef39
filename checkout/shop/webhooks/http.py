"""One HTTP request that carries a webhook: one deadline for all of it, and no redirects."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType

from checkout.errors import ShopError
from checkout.shop.webhooks.addresses import Target, resolve, target_of

#: From the connection to the end of the answer, seconds.
TIMEOUT_S = 10.0

_CONNECT_S = 3.0
_RECORDED_BYTES = 300
_USER_AGENT = "checkout-webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one try ended; `status` is None where no HTTP answer came.

    `reason` explains the end in a few words; `answer` is the beginning of the answer's body.
    """

    status: int | None
    reason: str
    answer: str = ""
    took_ms: float = 0.0
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        """Whether the receiver has the webhook: any 2xx, nothing else."""
        return self.status is not None and 200 <= self.status < 300


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    timeout_s: float = TIMEOUT_S,
    own_ports: Collection[int] = (),
) -> Outcome:
    """Send `body` to `url`; every failure comes back as an Outcome.

    Nothing is sent to this machine's `own_ports`, where the shop itself listens.
    """
    began = time.monotonic()

    def ended(
        status: int | None, reason: str, answer: str = "", wait_s: float | None = None
    ) -> Outcome:
        took_ms = (time.monotonic() - began) * 1000
        return Outcome(
            status=status, reason=reason, answer=answer, took_ms=took_ms, retry_after_s=wait_s
        )

    try:
        target = target_of(url)
        addresses = resolve(target)
    except (ShopError, OSError) as error:
        return ended(None, _reason(error))
    with _Deadline(timeout_s) as deadline:
        try:
            connection = _connect(target, addresses, deadline, own_ports)
            with contextlib.closing(connection):
                response = _exchange(connection, target, headers, body)
                status, answer = response.status, _beginning(response)
                return ended(status, _status_words(status), answer, _retry_after(response))
        except (OSError, http.client.HTTPException, ValueError) as error:
            if deadline.passed or isinstance(error, TimeoutError):
                return ended(None, f"no answer within {timeout_s:.0f} s")
            return ended(None, _reason(error))


class _Deadline:
    """Cuts the connection when the time is up, even while bytes still arrive slowly."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.passed = False
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def watch(self, sock: socket.socket) -> None:
        """The socket to cut."""
        self._sock = sock
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        self.passed = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # The plain socket's method: TLS would wait for the peer's closing message.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _connect(
    target: Target, addresses: list[str], deadline: _Deadline, own_ports: Collection[int]
) -> http.client.HTTPConnection:
    """A connection to one of the checked `addresses`: the name is not looked up again."""
    sock = _first_open(target, addresses)
    try:
        if target.port in own_ports and _is_this_machine(sock):
            raise OSError("no webhook is sent to the shop itself")
        sock.settimeout(deadline.timeout_s)
        deadline.watch(sock)
        if target.secure:
            context = ssl.create_default_context()
            sock = context.wrap_socket(
                sock, server_hostname=target.host, do_handshake_on_connect=False
            )
            deadline.watch(sock)
            sock.do_handshake()
    except BaseException:
        sock.close()
        raise
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = sock
    return connection


def _is_this_machine(sock: socket.socket) -> bool:
    # The source of a connection to an own address is that address, temporary ones included.
    peer = str(sock.getpeername()[0])
    address = ipaddress.ip_address(peer.split("%", 1)[0])
    plain = getattr(address, "ipv4_mapped", None) or address
    return plain.is_loopback or peer == sock.getsockname()[0]


def _first_open(target: Target, addresses: list[str]) -> socket.socket:
    last: OSError = OSError("the host name stands for no address")
    for address in addresses[:2]:
        try:
            return socket.create_connection((address, target.port), timeout=_CONNECT_S)
        except OSError as error:
            last = error
    if isinstance(last, TimeoutError):
        raise OSError(f"no connection within {_CONNECT_S:.0f} s") from None
    raise last


def _exchange(
    connection: http.client.HTTPConnection, target: Target, headers: Mapping[str, str], body: bytes
) -> http.client.HTTPResponse:
    all_headers = {
        "Host": target.authority,
        "User-Agent": _USER_AGENT,
        "Content-Type": "application/json",
        "Connection": "close",
        **headers,
    }
    connection.request("POST", target.path, body, all_headers)
    return connection.getresponse()


def _beginning(response: http.client.HTTPResponse) -> str:
    try:
        content = response.read(_RECORDED_BYTES)
    except (OSError, http.client.HTTPException, ValueError):
        return ""  # the status has come, and only the status decides
    text = content.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _status_words(status: int) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed"
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    text = response.getheader("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'it failed'}"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.HTTPException):
        return "what came back is no HTTP"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
