"""One attempt to pay by the payer's own code: the phone shows it and the counter scans it.

The phone fetches its page and the counter sends what it read over real HTTP; the picture between
them is really drawn and really read.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from checkout.comparison.sales.shop_code_and_tap import (
    NO_BANK,
    PaymentAttempt,
    last_answer_ms,
    measured_ms,
    no_attempt,
    page_words,
)
from checkout.comparison.testbed.testbed import Testbed
from checkout.demo.payers import DEMO_PIN
from checkout.demo.phone_steps import exchange_step
from checkout.shop.orders.states import Order
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import CertainParty, Step, numbered
from devices.phone import (
    USER_AGENT,
    Answer,
    CodePhone,
    Exchange,
    HttpNetwork,
    Network,
    PhoneError,
    PhoneResult,
    ShownCode,
)
from devices.qr.scanner import NoCode, read

#: A picture without a code: what the counter sees once the phone has been taken away.
DARK_SCREEN = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" viewBox="0 0 40 40">'
    b'<rect x="0" y="0" width="40" height="40" fill="#000"/></svg>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReply:
    """The shop's response to a code that the counter scanned; `kind` names a refusal."""

    status: int
    kind: str
    detail: str
    exchange: Exchange

    @property
    def accepted(self) -> bool:
        """Whether the shop accepted the code; the bank may still have declined."""
        return self.status < 400


def present_and_pay(
    testbed: Testbed,
    order: Order,
    payer: str,
    *,
    origin: str | None = None,
    pin: str = DEMO_PIN,
    network: Network | None = None,
    scanned: Callable[[ShownCode], bytes] = lambda shown: shown.picture,
    as_till: bool = True,
) -> PaymentAttempt:
    """The payer shows a code, the counter scans it; where a PIN is wanted, the payer types it.

    `scanned` returns the picture that the scanner sees. The counter sends what it read by the API
    if `as_till`, else by the form of its own page. `origin` is where another process serves the
    shop.
    """
    began = time.perf_counter()
    where = origin or testbed.origin
    before = len(testbed.shop.payments.of_order(order.id))
    phone = CodePhone(payer, where, pin=pin, network=network)
    try:
        shown = phone.show()
    except (PhoneError, OSError):
        return no_attempt(_since_ms(began), "no code: the network is gone", "phone offline")
    picture = scanned(shown)
    at_ms = _since_ms(began)
    try:
        text = read(picture)[0].text
    except NoCode:
        return no_attempt(_since_ms(began), "takes the phone away", "no code in the picture")
    read_ms = _since_ms(began) - at_ms
    reply = send_code(where, order.id, text, as_till=as_till, began=began)
    try:
        seen: PhoneResult | None = phone.follow(shown)
    except (PhoneError, OSError):
        seen = None  # the phone has no network; the counter goes on without it
    payments = testbed.shop.payments.of_order(order.id)
    payment = payments[-1] if len(payments) > before else None
    exchanges = phone.exchanges
    steps = _steps(exchanges, picture, at_ms, read_ms, reply, payment)
    return PaymentAttempt(
        payment=payment,
        steps=steps,
        software_ms=read_ms + reply.exchange.took_ms + measured_ms(exchanges),
        shop_ms=last_answer_ms(steps),
        payer_saw=_payer_saw(seen, payment, reply),
        refused="" if payment is not None else reply.kind,
        pins=int(seen is not None and seen.pin_asked and seen.outcome != "shown"),
        exchanges=(*exchanges, reply.exchange),
        # How exactly a line breaks is chance; the refusal's text must not depend on it.
        shop_refusal=NO_BANK if reply.kind == "clearing-unavailable" else reply.detail,
    )


def send_code(
    origin: str,
    order_id: str,
    text: str,
    *,
    as_till: bool = True,
    began: float | None = None,
    network: Network | None = None,
) -> CodeReply:
    """Send what the counter scanned to the shop; `began` is when the sale's clock started."""
    started = time.perf_counter()
    headers = {"User-Agent": USER_AGENT, "Origin": origin}
    if as_till:
        path = f"/api/v1/orders/{order_id}/payment-codes"
        headers |= {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)}
        body = json.dumps({"text": text}).encode()
    else:
        path = f"/orders/{order_id}/payment-code"
        headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"text": text}).encode()
    try:
        answer = (network or HttpNetwork()).request("POST", origin + path, headers, body)
    except OSError:
        answer = Answer(status=0, headers={}, body=b"", bytes_sent=0, bytes_received=0)
    kind, detail = _refusal(answer)
    now = time.perf_counter()
    exchange = Exchange(
        what="POST the code that was scanned",
        at_ms=(started - (started if began is None else began)) * 1000,
        took_ms=(now - started) * 1000,
        bytes_sent=answer.bytes_sent,
        bytes_received=answer.bytes_received,
        method="POST",
        path=path,
        status=answer.status,
    )
    return CodeReply(status=answer.status, kind=kind, detail=detail, exchange=exchange)


def _refusal(answer: Answer) -> tuple[str, str]:
    if answer.status == 0:
        return "no-answer", "the shop does not answer"
    if answer.status < 400:
        return "", ""
    try:
        problem = json.loads(answer.body)
        return str(problem["type"]).rsplit("/", 1)[-1], str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return f"http-{answer.status}", f"HTTP {answer.status}"


def _payer_saw(seen: PhoneResult | None, payment: Payment | None, reply: CodeReply) -> str:
    if seen is None:
        return "the code, and no page after it"
    if seen.outcome == "shown":
        return "the code, still" if not reply.accepted else "the code, being checked"
    return page_words(seen, payment)


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _steps(
    exchanges: Sequence[Exchange],
    picture: bytes,
    at_ms: float,
    read_ms: float,
    reply: CodeReply,
    payment: Payment | None,
) -> tuple[Step, ...]:
    """The phone's, the counter's and the shop's steps on one clock, numbered."""
    own = [] if payment is None else [step for step in payment.steps if step.source != "phone"]
    waited = next((n for n, step in enumerate(own) if step.nature == "waited"), len(own))
    steps = [
        Step(
            n=0,
            at_ms=at_ms,
            source="phone",
            target="counter",
            what="picture of the payer's code",
            bytes_sent=len(picture),
        ),
        Step(
            n=0,
            at_ms=at_ms,
            source="counter",
            target="counter",
            what="read the picture",
            took_ms=read_ms,
        ),
        exchange_step(reply.exchange, "counter", "shop"),
        *_within(reply.exchange, own[:waited]),
    ]
    paid = payment is not None and payment.state is PaymentState.APPROVED
    for exchange in exchanges:
        certain: CertainParty | None = "payer" if paid and exchange is exchanges[-1] else None
        route = ("payer", "phone") if exchange.modelled else ("phone", "shop")
        steps.append(exchange_step(exchange, *route, certain=certain))
        if exchange.method == "POST":
            steps += _within(exchange, own[waited:])
    return numbered(sorted(steps, key=lambda step: step.at_ms))


def _within(exchange: Exchange, own: Sequence[Step]) -> list[Step]:
    """The shop's steps, moved into the exchange in which it took them."""
    if not own:
        return []
    first_ms = own[0].at_ms
    took_ms = max(step.end_ms for step in own) - first_ms
    start_ms = exchange.at_ms + max(0.0, exchange.took_ms - took_ms) / 2
    return [step.changed(at_ms=start_ms + step.at_ms - first_ms) for step in own]
