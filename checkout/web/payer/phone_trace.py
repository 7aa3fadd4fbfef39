"""The steps of a payment that a real phone takes, as far as the shop can see them.

The page's form carries a signed mark: when the page was opened and how many bytes it had. The time
from the opening to the PIN is the payer's. An emulated phone records its own steps (`X-Own-Trace`),
so nothing is added for it.

A sale by code is emulated where this project's own phone paid, which its User-Agent shows, or where
no phone did; anything else that opens the page is a real phone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from flask import Response, make_response, request

from checkout.acceptance.contract import Mode
from checkout.acceptance.qr.link import short_path
from checkout.shop.orders.milestones import CODE_OPENED
from checkout.shop.orders.states import Order
from checkout.shop.payments.payment_times import record_payer_knows
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import Trace
from checkout.web.access.guard import harden
from checkout.web.access.signed_values import sign, verify
from checkout.web.context import current_shop

_PURPOSE = "opened"
#: What the emulated phone (`devices.phone`) calls itself.
USER_AGENT = "checkout-emulated-phone"
_LONGEST_S = 900.0
_PLACE = "@@opened@@"


def form_page(render: Callable[[str], str], status: int) -> Response:
    """The page that `render` returns, with the signed mark of its own opening in it."""
    page = render(_PLACE)
    # The mark holds the length of the page with the mark in it, so its own length must not change.
    first = sign(_PURPOSE, [_now_ms(), request_bytes(), 10_000 + len(page)])
    length = len(page.encode()) - len(_PLACE) + len(first)
    bytes_shown = length + response_bytes(make_response("", status))
    mark = sign(_PURPOSE, [_now_ms(), request_bytes(), bytes_shown])
    return make_response(page.replace(_PLACE, mark), status)


def pay_with_trace(
    pay: Callable[[Trace], Payment], respond: Callable[[Payment], Response]
) -> Response:
    """Run `pay` with a trace that begins when the payer opened the page, then `respond`."""
    if traces_itself():
        return respond(pay(Trace()))
    trace = _trace_from_opening()
    confirmed_ms = trace.now_ms()
    confirmed = len(trace.steps())
    trace.record("phone", "shop", "confirm with the PIN", sent=request_bytes(), at_ms=confirmed_ms)
    payment = pay(trace)
    response = respond(payment)
    if payment.state in (PaymentState.APPROVED, PaymentState.DECLINED):
        steps = list(payment.steps)
        steps[confirmed] = steps[confirmed].changed(
            bytes_received=response_bytes(response),
            took_ms=trace.now_ms() - confirmed_ms,
            detail=http_detail(response),
        )
        current_shop().payments.replace_steps(payment.id, steps, modelled_ms=payment.modelled_ms)
    return response


def is_emulated_phone() -> bool:
    """Whether this project's own phone asks."""
    return request.headers.get("User-Agent", "").startswith(USER_AGENT)


def traces_itself() -> bool:
    """Whether the phone records its own steps."""
    return "X-Own-Trace" in request.headers


def record_opening(order: Order) -> None:
    """Record when a phone first opened this code; a browser's prefetch does not count."""
    if request.method != "GET" or "prefetch" in _purpose():
        return
    code = str((request.view_args or {}).get("code", ""))[:4].upper()
    current_shop().milestones.record(CODE_OPENED, order.id, code=code, emulated=is_emulated_phone())


def opened_at() -> datetime | None:
    """When the page with the form that was sent had been opened; None without its mark."""
    mark = verify(_PURPOSE, request.form.get("opened", ""))
    if not (isinstance(mark, list) and len(mark) == 3):
        return None
    ago_s = min(max(time.time() - int(mark[0]) / 1000, 0.0), _LONGEST_S)
    return current_shop().orders.clock() - timedelta(seconds=ago_s)


def record_result_shown(payment: Payment, response: Response, asked_at: datetime) -> None:
    """Record the step by which the payer on a real phone learned that the order is paid."""
    if payment.mode is not Mode.QR or traces_itself() or request.method != "GET":
        return
    record_payer_knows(
        payment,
        current_shop().payments,
        current_shop().milestones,
        source="phone",
        target="shop",
        what="ask for the result: paid",
        asked_at=asked_at,
        sent=request_bytes(),
        received=response_bytes(response),
        detail=http_detail(response),
    )


def http_detail(response: Response) -> dict[str, str | int]:
    """Request line and status, without the secrets in the path and without the form's fields."""
    return {"request": f"{request.method} {_short_path()}", "status": response.status_code}


def _short_path() -> str:
    return short_path(request.path)


def _purpose() -> str:
    return request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", "")


def request_bytes() -> int:
    """The size of this HTTP request: line, headers, body (RFC 9112)."""
    line = len(f"{request.method} {request.full_path.rstrip('?')} HTTP/1.1") + 2
    headers = sum(len(name) + len(value) + 4 for name, value in request.headers.items())
    return line + headers + 2 + (request.content_length or 0)


def response_bytes(response: Response) -> int:
    """The size of an HTTP response with the headers that every answer gets."""
    hardened = harden(response)
    headers = sum(len(name) + len(value) + 4 for name, value in hardened.headers.items())
    return len(f"HTTP/1.1 {hardened.status}") + 2 + headers + 2 + len(hardened.get_data())


def _now_ms() -> int:
    """Whole milliseconds, which have the same number of digits at any time."""
    return int(time.time() * 1000)


def _trace_from_opening() -> Trace:
    """A trace that began when the payer opened the page, with the steps up to the PIN."""
    began, asked, shown = _opening()
    waited_s = min(max(time.time() - began, 0.0), _LONGEST_S)
    trace = Trace(began_s_ago=waited_s)
    trace.record(
        "phone",
        "shop",
        "open the page of the code",
        sent=asked,
        received=shown,
        at_ms=0.0,
        detail={"request": f"GET {_short_path()}", "status": 200},
    )
    trace.record(
        "payer",
        "phone",
        "read payee and amount, type the PIN",
        at_ms=0.0,
        took_ms=waited_s * 1000,
        nature="waited",
    )
    return trace


def _opening() -> tuple[float, int, int]:
    mark = verify(_PURPOSE, request.form.get("opened", ""))
    if isinstance(mark, list) and len(mark) == 3:
        return int(mark[0]) / 1000, int(mark[1]), int(mark[2])
    return time.time(), 0, 0
