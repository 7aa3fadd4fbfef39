"""The counter: a keypad, one order with its code and the reader beside it, the latest sales."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.acceptance.contract import Mode
from checkout.comparison.report.sequence_diagram import draw_in_rows, side_of
from checkout.demo.payers import DEMO_PIN
from checkout.errors import ShopError
from checkout.money import CURRENCIES, AmountError, Money
from checkout.shop.orders.milestones import CODE_OPENED, SHOWN
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payment_times import Certain, certain
from checkout.shop.payments.payments import PaymentState
from checkout.web import codes, figures
from checkout.web.context import current_shop
from checkout.web.counter.pin_pad import may_carry_pin
from checkout.web.event_stream import event_stream
from checkout.web.problems import Problem

if TYPE_CHECKING:
    from checkout.shop.payments.payers import Payer
    from checkout.shop.payments.payments import Payment

blueprint = Blueprint("counter", __name__)

_SALES_SHOWN = 8
#: Without JavaScript an order's page reloads itself this often.
_RELOAD_S = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """One order on the counter, with the payment that decided it."""

    order: Order
    payment: Payment | None


@blueprint.get("/")
def home() -> str:
    """The keypad and the latest sales."""
    return _keypad()


@blueprint.post("/orders")
def create() -> ResponseReturnValue:
    """Open an order for the amount on the keypad."""
    form = request.form
    currency = form.get("currency", "CNY")
    try:
        money = Money.parse(form.get("amount", "")[:32], currency)
        order = current_shop().orders.create(
            amount_minor=money.amount_minor,
            currency=currency,
            reference=form.get("reference", "").strip() or None,
            preauthorise=form.get("preauthorise") == "yes",
        )
    except (AmountError, ShopError) as error:
        return make_response(_keypad(trouble=str(error), form=form), 422)
    return redirect(url_for("counter.show", order_id=order.id), 303)


@blueprint.get("/sales")
def sales() -> str:
    """The list of sales alone, for the page that updates it."""
    return render_template("counter/_sales.html", sales=recent_sales())


@blueprint.get("/orders/<order_id>")
def show(order_id: str) -> str:
    """One order: its code and the reader while it is open, then its outcome."""
    return render_template(
        "counter/order.html",
        sales=recent_sales(),
        reload_s=_RELOAD_S,
        **_stage(order_id),
    )


@blueprint.get("/orders/<order_id>/stage")
def stage(order_id: str) -> str:
    """The changing part of the order's page."""
    return render_template("counter/_stage.html", **_stage(order_id))


@blueprint.get("/orders/<order_id>/events")
def events(order_id: str) -> Response:
    """What happens to one order and to the reader."""
    return event_stream(order_id)


@blueprint.get("/events")
def all_events() -> Response:
    """What happens to all orders."""
    return event_stream(None)


@blueprint.post("/orders/<order_id>/cancel")
def cancel(order_id: str) -> ResponseReturnValue:
    """Close the order; where a payment was faster, the order's page shows it."""
    try:
        current_shop().cancel(order_id)
    except ShopError as error:
        if error.kind not in ("order-not-open", "too-soon"):
            raise
        refused = "too-soon" if error.kind == "too-soon" else None
        return redirect(url_for("counter.show", order_id=order_id, refused=refused), 303)
    return redirect(url_for("counter.show", order_id=order_id), 303)


@blueprint.post("/orders/<order_id>/refund")
def refund(order_id: str) -> ResponseReturnValue:
    """Give the whole of a paid order back."""
    current_shop().refunds.refund(order_id)
    return redirect(url_for("counter.show", order_id=order_id), 303)


@blueprint.post("/orders/<order_id>/capture")
def capture(order_id: str) -> ResponseReturnValue:
    """Take the whole of what a preauthorised order holds."""
    current_shop().refunds.capture(order_id)
    return redirect(url_for("counter.show", order_id=order_id), 303)


@blueprint.post("/orders/<order_id>/tap")
def tap(order_id: str) -> ResponseReturnValue:
    """Lay an emulated card on the emulated reader."""
    card = request.form.get("card", "")
    if card not in {each.name for each in _cards()}:
        raise Problem(kind="payer", detail="card: no emulated card has that name.", field="card")
    try:
        current_shop().reader.request_card(card)
    except ShopError as error:
        raise Problem(kind="reader", detail=str(error)) from None
    if request.headers.get("Accept", "").startswith("application/json"):
        return "", 204
    return redirect(url_for("counter.show", order_id=order_id), 303)


@blueprint.post("/orders/<order_id>/enrol")
def enrol(order_id: str) -> ResponseReturnValue:
    """Enrol the card of a declined tap; the order stays open for it to be tapped again."""
    shop = current_shop()
    payment = shop.payments.get(request.form.get("payment", "")[:40])
    if payment.order_id != order_id:
        raise Problem(kind="unknown-payment", detail="payment: it is not this order's.")
    shop.enrolment.enrol(payment.id)
    return redirect(url_for("counter.show", order_id=order_id), 303)


@blueprint.get("/orders/<order_id>/code.svg")
def code_picture(order_id: str) -> Response:
    """The order's present code; `?form=emv` for the EMV payload."""
    order = current_shop().orders.get(order_id)
    if order.state is OrderState.OPEN:
        current_shop().milestones.record(SHOWN, order.id)
    form = request.args.get("form", "link")
    text = codes.text_of(current_shop(), order, emv=form == "emv")
    picture = codes.picture(text, "svg")
    return Response(picture.content, mimetype=picture.media_type)


def recent_sales() -> list[Sale]:
    """The newest orders with their payments."""
    shop = current_shop()
    return [
        Sale(
            order=order,
            payment=None if order.payment_id is None else shop.payments.get(order.payment_id),
        )
        for order in shop.orders.recent(_SALES_SHOWN)
    ]


def _keypad(*, trouble: str | None = None, form: Any = None) -> str:
    return render_template(
        "counter/keypad.html",
        currencies=sorted(CURRENCIES, key=lambda code: code != "CNY"),
        places={code: places for code, (_, places) in CURRENCIES.items()},
        sales=recent_sales(),
        trouble=trouble,
        form=form or {},
    )


def _stage(order_id: str) -> dict[str, Any]:
    shop = current_shop()
    order = codes.with_live_code(shop, shop.orders.get(order_id))
    attempts = shop.payments.of_order(order_id)
    payment = None if order.payment_id is None else settled(order.payment_id)
    declined = [each for each in attempts if str(each.state) == "declined"]
    last_declined = declined[-1] if declined and order.state is OrderState.OPEN else None
    now = shop.orders.clock()
    code_left_s = (order.code_expires_at - now).total_seconds()
    form = "emv" if request.args.get("form") == "emv" else "link"
    authorizing = order.state is OrderState.AUTHORIZING
    wait = shop.pin_entry.of_order(order_id) if authorizing else None
    return {
        "order": order,
        "payment": payment,
        "waited_ms": figures.waited_ms(payment) if payment is not None else 0.0,
        **_outcome(payment),
        "opened": order.state is OrderState.OPEN and _is_opened(order_id, attempts),
        "declined": last_declined,
        "enrolment": None if last_declined is None else shop.enrolment.standing(last_declined),
        "attempts": attempts,
        "form": form,
        "link": codes.text_of(shop, order, emv=form == "emv"),
        "alt": codes.alt_of(shop.config, order),
        "reader": shop.reader.status(),
        "cards": _cards(),
        "left_s": (order.expires_at - now).total_seconds(),
        "wait": wait,
        "wait_left_s": 0.0 if wait is None else wait.left_s(now),
        "pin_allowed": may_carry_pin(),
        "pin_trouble": request.args.get("pin"),
        "demo_pin": DEMO_PIN,
        "renew_in_s": max(code_left_s - codes.renew_before_s(shop), 1),
    }


def _outcome(payment: Payment | None) -> dict[str, Any]:
    """Where the time of a paid order went, when each side was certain, and the diagram."""
    if payment is None or payment.state is not PaymentState.APPROVED:
        return {"timed": None, "certain": Certain(), "diagram": None}
    return {
        "timed": figures.where_time_went(current_shop(), payment),
        "certain": certain(payment),
        "diagram": draw_in_rows([side_of(payment, "left", page=f"/compare?left={payment.id}")]),
    }


def _is_opened(order_id: str, attempts: Sequence[Payment]) -> bool:
    """Whether a phone has opened the code and nobody has tried to pay since."""
    moments = current_shop().milestones.of_order(order_id)
    opened = [each.at for each in moments if each.kind == CODE_OPENED]
    return bool(opened) and all(each.started_at < opened[-1] for each in attempts)


def settled(payment_id: str, *, within_s: float = 0.3) -> Payment:
    """A payment with its times and steps, which are stored a moment after its outcome."""
    until = time.monotonic() + within_s
    while True:
        payment = current_shop().payments.get(payment_id)
        if payment.finished_at is not None or time.monotonic() >= until:
            return payment
        time.sleep(0.01)


def _cards() -> list[Payer]:
    """The emulated cards."""
    return [payer for payer in current_shop().payers.all() if Mode.NFC in payer.modes]
