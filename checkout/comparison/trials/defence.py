"""Who stopped an attack, at which step and why: read off what the software answered in that run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from checkout.clearing.scheme.participants import Role, demo_participants
from checkout.comparison.sales.payer_code import Taken
from checkout.comparison.sales.shop_code_and_tap import Tried
from checkout.comparison.testbed.ledger_audit import Books
from checkout.demo.payers import payer as find_payer
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import Step
from devices.nfc.kernel import TapResult
from devices.phone import Answer, Exchange
from devices.phone.page import Page

if TYPE_CHECKING:
    from checkout.comparison.trials.attacker import Asked

#: Codes by which the switch itself answers, before it asks anybody (ISO 8583, DE39).
_SWITCH_CODES = frozenset({"12", "30", "94", "96", "A0"})
#: The switch's own words where its routing, or its token service, found nobody to ask.
_NO_ROUTE = frozenset({"no-such-range", "token-of-nobody"})
_DECIDED_BY_TOKEN_SERVICE = ("token-outside-", "token-requestor-", "token-unknown", "token-expired")
_LONGEST_WORDS = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """`by` a party, at a `step`, `because` of a reason in the words of the one who gave it."""

    by: str
    step: str
    because: str = ""


def of_try(books: Books, tried: Tried) -> Stop:
    """How far one try to pay got, and who ended it."""
    payment = tried.payment
    if payment is not None and payment.state is PaymentState.APPROVED:
        return Stop(by="nobody", step=_asked_words(payment.steps) or "the card decides offline")
    if payment is not None and _asked_words(payment.steps):
        return of_payment(books, payment)
    if tried.walked is not None and (payment is not None or not tried.taken):
        return of_walk(tried.walked, tried.refused)
    if tried.walked is not None:
        last = [step.what for step in tried.steps if step.target == "card"][-1]
        return Stop(by="the shop", step=f"after {last}", because=tried.taken)
    return of_exchanges(tried.exchanges, tried.taken or tried.refused)


def of_payment(books: Books, payment: Payment) -> Stop:
    """Whoever answered the question that the shop sent for this payment."""
    code = payment.response_code or ""
    reason = books.reason(payment.rrn) or payment.response_text
    account = find_payer(payment.payer).account if payment.payer else ""
    step = _asked_words(payment.steps)
    return Stop(by=decided_by(code, reason, account), step=step, because=reason)


def of_asked(asked: Asked, account: str) -> Stop:
    """Whoever answered a question of the attacker's own making."""
    step = (
        asked.passed if not asked.response_code else f"{asked.passed}, DE39 {asked.response_code}"
    )
    if asked.approved:
        return Stop(by="nobody", step=step)
    if not asked.response_code:
        return Stop(by="the switch", step=step, because=asked.reason)
    by = decided_by(asked.response_code, asked.reason, account)
    return Stop(by=by, step=step, because=asked.reason)


def of_walk(result: TapResult, refused: str = "") -> Stop:
    """The terminal or the card, by what the kernel saw."""
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
    """The shop, by the last thing that it answered a phone or a till."""
    refused = [one for one in exchanges if (one.status or 0) >= 400]
    asked = refused or [one for one in exchanges if one.method]
    if not asked:
        return Stop(by="the counter", step="reading the picture", because=because)
    return Stop(by="the shop", step=_http_words(asked[-1]), because=because)


def of_taken(taken: Taken) -> Stop:
    """The shop, by its answer to a code that a till sent."""
    by = "nobody" if taken.done else "the shop"
    return Stop(by=by, step=_http_words(taken.exchange), because=taken.kind)


def of_answer(method: str, path: str, answer: Answer) -> Stop:
    """The shop, by what it answered to a request of the attacker's own making."""
    page = Page(answer.body)
    told = page.text
    if page.outcome and page.outcome != "problem":
        told = page.outcome
    by = "the shop" if answer.status >= 400 else "nobody"
    return Stop(by=by, step=_words(method, path, answer.status), because=_short(told))


def decided_by(response_code: str, reason: str, account: str) -> str:
    """The party whose decision a response code and the switch's own reason stand for."""
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
    """The shop's first question to the switch and its answer, by message type and DE39."""
    for step in steps:
        if step.target == "switch" and step.detail:
            question = step.detail["request"].get("message_type", "")
            answer = step.detail["response"].get("message_type", "")
            return f"{question} answered {answer}, {step.what.rpartition(': ')[2]}"
    return ""


def _http_words(exchange: Exchange) -> str:
    return _words(exchange.method, exchange.path, exchange.status or 0)


def _words(method: str, path: str, status: int) -> str:
    return f"{method} {_plain(path)} answered HTTP {status}"


def _plain(path: str) -> str:
    """A path with its codes, seals and identifiers named instead of told."""
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
