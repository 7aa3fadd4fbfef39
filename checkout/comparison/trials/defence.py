"""Who stopped an attack, at which step and why, as the software answered in that run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from checkout.clearing.scheme.participants import Role, demo_participants
from checkout.comparison.sales.payer_code import CodeReply
from checkout.comparison.sales.shop_code_and_tap import PaymentAttempt
from checkout.comparison.testbed.ledger_audit import Books
from checkout.demo.payers import payer as find_payer
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import Step
from devices.nfc.kernel import TapResult
from devices.phone import Answer, Exchange
from devices.phone.page import Page

if TYPE_CHECKING:
    from checkout.comparison.trials.attacker import SwitchReply

#: Response codes that the switch gives itself, before it asks anybody (ISO 8583, DE39).
_SWITCH_CODES = frozenset({"12", "30", "94", "96", "A0"})
#: The switch's reasons where its routing, or its token service, found nobody to ask.
_NO_ROUTE = frozenset({"no-such-range", "token-of-nobody"})
_DECIDED_BY_TOKEN_SERVICE = ("token-outside-", "token-requestor-", "token-unknown", "token-expired")
_LONGEST_WORDS = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """An attack ended: `by` a party, at a `step`, `because` of a reason in that party's words."""

    by: str
    step: str
    because: str = ""


def of_try(books: Books, attempt: PaymentAttempt) -> Stop:
    """How far one attempt to pay got, and who ended it."""
    payment = attempt.payment
    if payment is not None and payment.state is PaymentState.APPROVED:
        return Stop(by="nobody", step=_asked_words(payment.steps) or "the card decides offline")
    if payment is not None and _asked_words(payment.steps):
        return of_payment(books, payment)
    if attempt.tap_result is not None and (payment is not None or not attempt.shop_refusal):
        return of_tap(attempt.tap_result, attempt.refused)
    if attempt.tap_result is not None:
        last = [step.what for step in attempt.steps if step.target == "card"][-1]
        return Stop(by="the shop", step=f"after {last}", because=attempt.shop_refusal)
    return of_exchanges(attempt.exchanges, attempt.shop_refusal or attempt.refused)


def of_payment(books: Books, payment: Payment) -> Stop:
    """The party that answered the request which the shop sent for this payment."""
    code = payment.response_code or ""
    reason = books.reason(payment.rrn) or payment.response_text
    account = find_payer(payment.payer).account if payment.payer else ""
    step = _asked_words(payment.steps)
    return Stop(by=decided_by(code, reason, account), step=step, because=reason)


def of_reply(reply: SwitchReply, account: str) -> Stop:
    """The party that answered a request which the attacker made."""
    step = (
        reply.passed if not reply.response_code else f"{reply.passed}, DE39 {reply.response_code}"
    )
    if reply.approved:
        return Stop(by="nobody", step=step)
    if not reply.response_code:
        return Stop(by="the switch", step=step, because=reply.reason)
    by = decided_by(reply.response_code, reply.reason, account)
    return Stop(by=by, step=step, because=reply.reason)


def of_tap(result: TapResult, refused: str = "") -> Stop:
    """The terminal or the card, by the kernel's result."""
    step = result.step or (result.exchanges[-1].name if result.exchanges else "")
    if result.oda.verdict == "failed":
        because = f"{result.oda.method} failed: {result.oda.reason}".strip(" :")
        return Stop(by="the terminal", step=step or "offline data authentication", because=because)
    if result.cryptogram is not None and str(result.cryptogram) == "AAC":
        return Stop(by="the card", step=step, because=result.reason)
    return Stop(
        by="the terminal", step=step or f"cardholder verification: {result.cvm}", because=refused
    )


def of_exchanges(exchanges: tuple[Exchange, ...], because: str) -> Stop:
    """The shop, by its last response to a phone or a till."""
    refused = [exchange for exchange in exchanges if (exchange.status or 0) >= 400]
    reply = refused or [exchange for exchange in exchanges if exchange.method]
    if not reply:
        return Stop(by="the counter", step="reading the picture", because=because)
    return Stop(by="the shop", step=_http_words(reply[-1]), because=because)


def of_code_reply(reply: CodeReply) -> Stop:
    """The shop, by its response to a code that a till sent."""
    by = "nobody" if reply.accepted else "the shop"
    return Stop(by=by, step=_http_words(reply.exchange), because=reply.kind)


def of_answer(method: str, path: str, answer: Answer) -> Stop:
    """The shop, by its response to a request which the attacker made."""
    page = Page(answer.body)
    text = page.text
    if page.outcome and page.outcome != "problem":
        text = page.outcome
    by = "the shop" if answer.status >= 400 else "nobody"
    return Stop(by=by, step=_words(method, path, answer.status), because=_short(text))


def decided_by(response_code: str, reason: str, account: str) -> str:
    """The party that decided, by the response code and the switch's own reason."""
    if reason.startswith(_DECIDED_BY_TOKEN_SERVICE):
        return "the token service"
    if response_code in _SWITCH_CODES or reason in _NO_ROUTE:
        return "the switch"
    participants = demo_participants()
    found = participants.range_of(account)
    holder = None if found is None else participants.by_id.get(found.participant)
    wallet = holder is not None and holder.role is Role.WALLET_OPERATOR
    return "the wallet operator" if wallet else "the issuer"


def _asked_words(steps: tuple[Step, ...]) -> str:
    """The shop's first request to the switch and the response, by message type and DE39."""
    for step in steps:
        if step.target == "switch" and step.detail:
            request = step.detail["request"].get("message_type", "")
            response = step.detail["response"].get("message_type", "")
            return f"{request} answered {response}, {step.what.rpartition(': ')[2]}"
    return ""


def _http_words(exchange: Exchange) -> str:
    return _words(exchange.method, exchange.path, exchange.status or 0)


def _words(method: str, path: str, status: int) -> str:
    return f"{method} {_plain(path)} answered HTTP {status}"


def _plain(path: str) -> str:
    """A path in which names stand for its codes, seals and identifiers."""
    parts = path.split("/")
    if parts[1:2] in (["p"], ["P"]):
        return "/p/CODE"
    named = ["ORDER" if part.startswith("ord_") else part for part in parts]
    if parts[1:2] == ["receipt"] or parts[1:3] == ["wallet", "confirm"]:
        named[-1] = "SEAL"
    return "/".join(named)


def _short(text: str) -> str:
    if len(text) <= _LONGEST_WORDS:
        return text
    return text[:_LONGEST_WORDS].rsplit(" ", 1)[0] + " ..."
