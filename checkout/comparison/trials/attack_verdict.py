"""The cells of the attack matrix: what came of an attack, and what it can cost by the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from checkout.clearing.issuing.accounts import Account, demo_accounts
from checkout.clearing.scheme.rules import rules_of_china
from checkout.comparison.report.formatting import money
from checkout.comparison.results import Cell
from checkout.comparison.sales.shop_code_and_tap import PaymentAttempt
from checkout.comparison.trials import defence
from checkout.comparison.trials.attacker import SwitchReply
from checkout.comparison.trials.defence import Stop
from checkout.comparison.trials.lab import Lab, TrialRun
from checkout.demo.payers import payer as find_payer
from checkout.shop.payments.payments import PaymentState

THIEF = "the shop that the thief bought from"


def cell_of_reply(run: TrialRun, reply: SwitchReply, account: str, loss: str = "") -> Cell:
    """A cell from the switch's reply to a request that the attacker made about `account`."""
    words = f"the attacker's question answered {reply.response_code or 'nothing'}"
    run.shop_saw.append(words)
    cell = run.conclude("works" if reply.approved else "declined")
    return replace(
        _with_stop(cell, defence.of_reply(reply, account), loss),
        shop_saw=words,
        payer_saw=cell.payer_saw or "nothing",
        holds="the attacker, who sold to themselves" if reply.approved else "the payer",
    )


def cell_of_attempt(
    run: TrialRun, attempt: PaymentAttempt, *, loss: str = "", stolen: bool = True
) -> Cell:
    """A cell from an attempt to pay that is itself the attack; it works where it brought money."""
    stop = defence.of_try(run.lab.books, attempt)
    cell = cell_of_run(run, works=is_paid(attempt), stop=stop, loss=loss)
    return replace(cell, holds=THIEF) if is_paid(attempt) and stolen else cell


def cell_of_run(run: TrialRun, *, works: bool, stop: Stop, loss: str = "") -> Cell:
    """A cell from what was seen at the counter; `stop` says how far the attack got in the run."""
    return _with_stop(run.conclude("works" if works else "declined"), stop, loss)


def _with_stop(cell: Cell, stop: Stop, loss: str) -> Cell:
    works = cell.verdict == "works"
    return replace(
        cell,
        step=stop.step,
        stopped_by="nobody" if works else stop.by,
        because="" if works else stop.because,
        loss=loss if works else "nothing",
    )


def no_pin_loss(lab: Lab) -> str:
    """What taps without PIN can cost."""
    limit = rules_of_china().on(_today(lab)).quickpass_no_pin_minor
    return f"{money(limit, 'CNY')} a tap until the card is blocked"


def code_loss(lab: Lab, payer: str) -> str:
    """What codes can cost in a day from the account of `payer`."""
    account = _account(payer)
    limits = rules_of_china().on(_today(lab)).dynamic_code_day_minor
    limit = limits.get(account.barcode_level, account.barcode_contract_minor)
    if limit is None or limit > account.balance_minor + account.credit_line_minor > 0:
        return account_loss(lab, payer)
    level = account.barcode_level
    return f"{money(limit, account.currency)} a day (codes at verification level {level})"


def payer_code_loss(lab: Lab, payer: str) -> str:
    """What the codes that a phone shows can cost without its PIN."""
    limit = lab.testbed.config.payer_code_no_pin_minor
    return f"{money(limit, 'CNY')} a code, a new one each minute; {code_loss(lab, payer)}"


def account_loss(lab: Lab, payer: str) -> str:
    """What somebody who is taken for the holder of the account of `payer` can get from it."""
    account = _account(payer)
    offered = rules_of_china().on(_today(lab)).bank_account
    number = account.account_class
    day = None if number is None or number not in offered else offered[number].day_minor
    if day is not None:
        return f"{money(day, account.currency)} a day (class {number} account)"
    whole = account.balance_minor + account.credit_line_minor
    return f"all that the account holds: here {money(whole, account.currency)}"


def is_paid(attempt: PaymentAttempt) -> bool:
    """Whether an attempt brought money."""
    return attempt.payment is not None and attempt.payment.state is PaymentState.APPROVED


def _account(payer: str) -> Account:
    return demo_accounts().accounts[find_payer(payer).account]


def _today(lab: Lab) -> date:
    return lab.testbed.clock().date()
