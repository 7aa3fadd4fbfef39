"""What an attack came to: cells from the run's answers, and what it can cost by the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from checkout.clearing.issuing.accounts import Account, demo_accounts
from checkout.clearing.scheme.rules import rules_of_china
from checkout.comparison.report.formatting import money
from checkout.comparison.results import Cell
from checkout.comparison.sales.shop_code_and_tap import Tried
from checkout.comparison.trials import defence
from checkout.comparison.trials.attacker import Asked
from checkout.comparison.trials.defence import Stop
from checkout.comparison.trials.rig import Rig, Scene
from checkout.demo.payers import payer as find_payer
from checkout.shop.payments.payments import PaymentState

THIEF = "the shop that the thief bought from"


def judged(scene: Scene, asked: Asked, account: str, loss: str = "") -> Cell:
    """A cell from the switch's answer to the attacker's own question about `account`."""
    words = f"the attacker's question answered {asked.response_code or 'nothing'}"
    scene.shop_saw.append(words)
    cell = scene.conclude("works" if asked.approved else "declined")
    return replace(
        _with_stop(cell, defence.of_asked(asked, account), loss),
        shop_saw=words,
        payer_saw=cell.payer_saw or "nothing",
        holds="the attacker, who sold to themselves" if asked.approved else "the payer",
    )


def tried_cell(scene: Scene, tried: Tried, *, loss: str = "", stolen: bool = True) -> Cell:
    """A cell from a try to pay that is itself the attack; it works where it brought money."""
    stop = defence.of_try(scene.rig.books, tried)
    cell = seen(scene, works=is_paid(tried), stop=stop, loss=loss)
    return replace(cell, holds=THIEF) if is_paid(tried) and stolen else cell


def seen(scene: Scene, *, works: bool, stop: Stop, loss: str = "") -> Cell:
    """A cell from what was seen at the counter; `stop` is how far it got, read off the run."""
    return _with_stop(scene.conclude("works" if works else "declined"), stop, loss)


def _with_stop(cell: Cell, stop: Stop, loss: str) -> Cell:
    works = cell.verdict == "works"
    return replace(
        cell,
        step=stop.step,
        stopped_by="nobody" if works else stop.by,
        because="" if works else stop.because,
        loss=loss if works else "nothing",
    )


def no_pin_loss(rig: Rig) -> str:
    """What taps without PIN can cost."""
    limit = rules_of_china().on(_today(rig)).quickpass_no_pin_minor
    return f"{money(limit, 'CNY')} a tap until the card is blocked"


def code_loss(rig: Rig, payer: str) -> str:
    """What codes can cost in a day from the account of `payer`."""
    account = _account(payer)
    limits = rules_of_china().on(_today(rig)).dynamic_code_day_minor
    limit = limits.get(account.barcode_level, account.barcode_contract_minor)
    if limit is None or limit > account.balance_minor + account.credit_line_minor > 0:
        return account_loss(rig, payer)
    level = account.barcode_level
    return f"{money(limit, account.currency)} a day (codes at verification level {level})"


def payer_code_loss(rig: Rig, payer: str) -> str:
    """What the codes that a phone shows can cost without its PIN."""
    limit = rig.stand.config.payer_code_no_pin_minor
    return f"{money(limit, 'CNY')} a code, a new one each minute; {code_loss(rig, payer)}"


def account_loss(rig: Rig, payer: str) -> str:
    """What can be had from the account of `payer` by whoever passes for its holder."""
    account = _account(payer)
    offered = rules_of_china().on(_today(rig)).bank_account
    held = account.account_class
    day = None if held is None or held not in offered else offered[held].day_minor
    if day is not None:
        return f"{money(day, account.currency)} a day (class {held} account)"
    whole = account.balance_minor + account.credit_line_minor
    return f"all that the account holds: here {money(whole, account.currency)}"


def is_paid(tried: Tried) -> bool:
    """Whether a try brought money."""
    return tried.payment is not None and tried.payment.state is PaymentState.APPROVED


def _account(payer: str) -> Account:
    return demo_accounts().accounts[find_payer(payer).account]


def _today(rig: Rig) -> date:
    return rig.stand.clock().date()
