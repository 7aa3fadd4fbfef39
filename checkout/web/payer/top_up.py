"""The wallet's page for bringing money from the payer's bank account into its balance."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.clearing.issuing.accounts import Account, demo_accounts
from checkout.errors import ShopError
from checkout.money import AmountError, mask_account
from checkout.shop.payments.top_ups import TopUpState
from checkout.web import clearing_tables
from checkout.web.access.guard import open_to_all
from checkout.web.context import current_shop
from checkout.web.payer import form
from checkout.web.payer.accounts import chosen_payer
from checkout.web.problems import KINDS

blueprint = Blueprint("top_up", __name__, url_prefix="/wallet/top-up")

_DECLINED = {
    "51": "The bank account does not hold as much. Nothing was moved.",
    "55": "That PIN is wrong. Nothing was moved.",
    "61": "That is more than this class of wallet account may hold. Nothing was moved.",
    "75": "The PIN was wrong too often: this account is blocked.",
    "91": form.NO_BANK,
}
_UNANSWERED = (
    "There was no answer in time, so the top-up is being taken back. Look at the list of payments "
    "before you try again."
)


def fundable() -> Account | None:
    """The chosen payer's wallet account if a bank account can top it up; None for all others."""
    account = demo_accounts().accounts.get(chosen_payer().account)
    return account if account is not None and account.funding_account is not None else None


def stored_minor(account: Account) -> int | None:
    """The balance in the operator's books; None before the switch has run on this database."""
    books = current_shop().books
    return clearing_tables.read(lambda: books.available(account.account, account.currency), None)


@blueprint.get("")
@open_to_all
def show() -> ResponseReturnValue:
    """Amount and PIN; other accounts than wallets go back to the wallet's home."""
    account = fundable()
    return redirect(url_for("wallet.home"), 303) if account is None else _page(account)


@blueprint.post("")
@open_to_all
def top_up() -> ResponseReturnValue:
    """Top up once, however often the form is sent."""
    account = fundable()
    submission = form.submission()
    if account is None or submission is None:
        return redirect(url_for("top_up.show"), 303)
    content = (account.payer, request.form.get("amount", ""))
    return form.once("top-up", submission, content, lambda: _top_up_once(account))


def _top_up_once(account: Account) -> ResponseReturnValue:
    pin = request.form.get("pin", "")
    try:
        amount = form.typed_amount(account.currency)
        if form.pin_trouble(pin):
            return _page(account, pin_trouble=form.pin_trouble(pin), status=422)
        done = current_shop().top_ups.top_up(account.payer, amount, pin)
    except AmountError as error:
        return _page(account, amount_trouble=form.without_field(error), status=422)
    except ShopError as error:
        status = KINDS.get(error.kind, (409, ""))[0]
        if error.kind == "amount":
            return _page(account, amount_trouble=form.without_field(error), status=status)
        trouble = form.NO_BANK if error.kind == "clearing-unavailable" else str(error)
        return _page(account, trouble=trouble, status=status)
    if done.state is TopUpState.DECLINED:
        code = done.response_code or ""
        text = _DECLINED.get(code, f"The bank declined: {done.response_text}. Nothing was moved.")
        if code in ("55", "75"):
            return _page(account, pin_trouble=text, status=403)
        return _page(account, trouble=text, status=409)
    if done.state in (TopUpState.UNKNOWN, TopUpState.REVERSED):
        return _page(account, trouble=_UNANSWERED, status=504)
    return redirect(url_for("wallet.home"), 303)


def _page(
    account: Account,
    *,
    trouble: str | None = None,
    amount_trouble: str | None = None,
    pin_trouble: str | None = None,
    status: int = 200,
) -> Response:
    assert account.funding_account is not None
    page = render_template(
        "payer/top_up.html",
        account=account,
        title=chosen_payer().title,
        source=demo_accounts().accounts[account.funding_account].title,
        source_masked=mask_account(account.funding_account),
        stored=stored_minor(account),
        typed=request.form.get("amount", "")[:16],
        submission=form.new_submission(),
        trouble=trouble,
        amount_trouble=amount_trouble,
        pin_trouble=pin_trouble,
    )
    return make_response(page, status)
