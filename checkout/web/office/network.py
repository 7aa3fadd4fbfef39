"""The back office: the switch's messages, the trial balance, settlement, participants."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.clearing.client.client import NoAnswer, NotSent, OperationFailed
from checkout.clearing.queries import LedgerAccount
from checkout.clearing.scheme.business_date import settlement_date
from checkout.clearing.scheme.participants import demo_participants
from checkout.web import clearing_tables
from checkout.web.context import current_shop
from checkout.web.office.disputes import all_disputes, dispute_of
from checkout.web.office.money_flow import flow_of
from checkout.web.problems import Problem

blueprint = Blueprint("network", __name__, url_prefix="/network")

_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One account of the trial balance, credits less debits in minor units."""

    name: str
    currency: str
    posted_minor: int
    held_minor: int


@blueprint.get("/")
def show() -> str:
    """Messages, the trial balance by currency, participants."""
    books = current_shop().books
    lines = [_line(each) for each in clearing_tables.read(books.accounts, ())]
    lines.sort(key=lambda line: (line.currency, line.name))
    totals = {
        currency: (
            sum(line.posted_minor for line in lines if line.currency == currency),
            sum(line.held_minor for line in lines if line.currency == currency),
        )
        for currency in {line.currency for line in lines}
    }
    return render_template(
        "office/network.html",
        wanted=_wanted(),
        messages=clearing_tables.read(lambda: books.messages(limit=_SHOWN, search=_wanted()), ()),
        lines=[line for line in lines if line.posted_minor or line.held_minor],
        totals=totals,
        participants=demo_participants(),
        requestors={each.id: each.title for each in demo_participants().token_requestors.values()},
        payment_tokens=clearing_tables.read(books.payment_tokens, ()),
        disputes=all_disputes(),
        cut_overs=clearing_tables.read(books.cut_overs, {}),
        today=settlement_date(current_shop().orders.clock()).isoformat(),
    )


@blueprint.post("/settlements")
def settle() -> ResponseReturnValue:
    """Close a settlement date at the switch; closing it twice changes nothing."""
    day = clearing_tables.parse_day(request.form.get("date", ""))
    try:
        current_shop().clearing().operate("settle", {"date": day.isoformat()})
    except (NotSent, NoAnswer) as error:
        raise Problem(kind="clearing-unavailable", detail=f"clearing: {error}") from None
    except OperationFailed as error:
        raise Problem(kind="date", detail=f"date: {error}", field="date") from None
    return redirect(url_for("network.settlement", day=day.isoformat()), 303)


@blueprint.get("/settlements/<day>")
def settlement(day: str) -> str:
    """Net positions and merchant statements of one closed date."""
    report = clearing_tables.settlement(current_shop(), day)
    return render_template("office/settlement.html", report=report)


@blueprint.get("/messages")
def messages() -> str:
    """The table of messages alone, for the page that updates it."""
    books = current_shop().books
    found = clearing_tables.read(lambda: books.messages(limit=_SHOWN, search=_wanted()), ())
    return render_template("office/_messages.html", messages=found, wanted=_wanted())


@blueprint.get("/messages/<int:seq>")
def message(seq: int) -> str:
    """One message: request and response field by field, and the money that it moved."""
    books = current_shop().books
    logged = clearing_tables.read(lambda: books.message(seq), None) if seq < 2**62 else None
    if logged is None:
        raise Problem(kind="unknown-message", detail="The switch has logged no such message.")
    dump, postings = logged.dump(), books.postings_of_entry(seq)
    return render_template(
        "office/message.html",
        message=logged,
        request_fields=dump["request"],
        response_fields=dump["response"],
        postings=postings,
        flow=flow_of(postings),
        claim=dispute_of(logged),
    )


def _wanted() -> str:
    return request.args.get("q", "").strip()[:64]


def _line(account: LedgerAccount) -> Line:
    totals = account.balance
    return Line(
        name=account.name,
        currency=account.name[-3:],
        posted_minor=totals.credits_posted - totals.debits_posted,
        held_minor=totals.credits_pending - totals.debits_pending,
    )
