"""The back office: what the switch heard and answered, the books, who takes part."""

from __future__ import annotations

from collections import defaultdict

from flask import Blueprint, render_template, request

from checkout.clearing.participants import demo_participants
from checkout.web import books
from checkout.web.problems import Problem
from checkout.web.views import the_shop

blueprint = Blueprint("network", __name__, url_prefix="/network")


@blueprint.get("/")
def show() -> str:
    """Messages, the trial balance by currency, participants."""
    engine = the_shop().engine
    wanted = request.args.get("q", "").strip()[:64]
    lines = books.trial_balance(engine)
    totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in lines:
        posted, pending = totals[line.currency]
        totals[line.currency] = (posted + line.posted_minor, pending + line.pending_minor)
    return render_template(
        "office/network.html",
        wanted=wanted,
        messages=books.messages(engine, wanted=wanted),
        lines=lines,
        totals=totals,
        participants=demo_participants(),
    )


@blueprint.get("/messages")
def messages() -> str:
    """The table of messages alone, for the page that shows it already."""
    wanted = request.args.get("q", "").strip()[:64]
    return render_template(
        "office/_messages.html", messages=books.messages(the_shop().engine, wanted=wanted)
    )


@blueprint.get("/messages/<int:seq>")
def message(seq: int) -> str:
    """One message: question and answer field by field, and the money it moved."""
    engine = the_shop().engine
    found = books.message(engine, seq) if seq < 2**62 else None
    if found is None:
        raise Problem(kind="unknown-payment", detail="The switch has heard no such message.")
    said, question, answer = found
    status, flows = books.flows(engine, seq)
    return render_template(
        "office/message.html",
        message=said,
        question=question,
        answer=answer,
        status=status,
        flows=flows,
    )
