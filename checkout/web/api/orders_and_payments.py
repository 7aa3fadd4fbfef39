"""The REST API under `/api/v1`: orders, what follows them, payments with their steps.

Every POST carries an `Idempotency-Key`; every failure is problem details (RFC 9457).
"""

from __future__ import annotations

from flask import Response, request, url_for
from werkzeug.exceptions import NotFound

from checkout.acceptance.qr.signed_payload import static_payload
from checkout.shop.orders.milestones import SHOWN
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payer_codes import UserPaying
from checkout.shop.payments.payments import Payment
from checkout.shop.payments.stickers import StaticCode
from checkout.shop.webhooks.events import payment_summary
from checkout.web import clearing_tables, codes, figures
from checkout.web.api import bodies
from checkout.web.api.operations import Answer, Operations, reply
from checkout.web.context import current_shop
from checkout.web.event_stream import event_stream
from checkout.web.payer import phone_trace
from checkout.web.problems import Problem

api = Operations("api", tag="Orders")
blueprint = api.blueprint

_ORDER = Answer(description="The order.", body=bodies.Order)
_PAYMENT = Answer(description="The payment.", body=bodies.Payment)
_OUTCOME = ("clearing-unavailable", "outcome-unknown")


@api.post(
    "/orders",
    "createOrder",
    bodies.NewOrder,
    {201: Answer(description="The order.", body=bodies.Order, located=True)},
    problems=("amount", "currency", "reference"),
)
def create_order(body: bodies.NewOrder) -> Response:
    """Open an order."""
    order = current_shop().orders.create(
        amount_minor=body.amount_minor,
        currency=body.currency,
        reference=body.reference,
        preauthorise=body.preauthorise,
    )
    location = url_for("api.read_order", order_id=order.id)
    return reply(order_body(order), 201, location=location)


@api.get("/orders/<order_id>", "readOrder", _ORDER, problems=("unknown-order",))
def read_order(order_id: str) -> Response:
    """An order as it stands, with a live code while it is open."""
    return reply(order_body(current_shop().orders.get(order_id)))


@api.get(
    "/orders/<order_id>/events",
    "orderEvents",
    Answer(description="Server-sent events.", media_types=("text/event-stream",)),
    parameters=("lastEventId",),
    problems=("unknown-order", "body"),
)
def order_events(order_id: str) -> Response:
    """What happens to the order, as server-sent events.

    The stream begins with a snapshot of the order; `Last-Event-ID` resumes it.
    """
    return event_stream(order_id)


@api.get(
    "/orders/<order_id>/qr.<form>",
    "orderPicture",
    Answer(description="The picture.", media_types=("image/png", "image/svg+xml")),
    parameters=("format",),
    problems=("unknown-order", "field"),
)
def order_picture(order_id: str, form: str) -> Response:
    """The order's code as a picture, PNG or SVG, of its link or its EMV payload."""
    if form not in ("png", "svg"):
        raise NotFound
    wanted = request.args.get("format", "link")
    if wanted not in ("link", "emv"):
        raise Problem(kind="field", detail="format: expected link or emv", field="format")
    order = codes.with_live_code(current_shop(), current_shop().orders.get(order_id))
    if order.state is OrderState.OPEN:
        current_shop().milestones.record(SHOWN, order.id)
    text = codes.text_of(current_shop(), order, emv=wanted == "emv")
    picture = codes.picture(text, form)
    return Response(picture.content, mimetype=picture.media_type)


@api.post(
    "/orders/<order_id>/cancel",
    "cancelOrder",
    bodies.NoFields,
    {200: _ORDER},
    problems=("unknown-order", "order-not-open", "order-busy", "too-soon"),
)
def cancel_order(_body: bodies.NoFields, order_id: str) -> Response:
    """Close an order that nobody has paid, also while the payer's PIN is waited for."""
    return reply(order_body(current_shop().cancel(order_id)))


@api.post(
    "/orders/<order_id>/refunds",
    "refundOrder",
    bodies.Refund,
    {201: _PAYMENT},
    problems=("unknown-order", "not-refundable", "order-busy", "amount", *_OUTCOME),
)
def refund_order(body: bodies.Refund, order_id: str) -> Response:
    """Give back all or part of a paid order."""
    return reply(payment_body(current_shop().refunds.refund(order_id, body.amount_minor)), 201)


@api.post(
    "/orders/<order_id>/capture",
    "captureOrder",
    bodies.Capture,
    {201: _PAYMENT},
    problems=("unknown-order", "not-capturable", "order-busy", "amount", *_OUTCOME),
)
def capture_order(body: bodies.Capture, order_id: str) -> Response:
    """Complete a preauthorised order, wholly or to the amount given."""
    return reply(payment_body(current_shop().refunds.capture(order_id, body.amount_minor)), 201)


@api.post(
    "/orders/<order_id>/payment-codes",
    "payByPayerCode",
    bodies.PaymentCode,
    {
        201: _PAYMENT,
        202: Answer(
            description="The phone asks its payer for the PIN: read the payment again.",
            body=bodies.UserPaying,
            located=True,
        ),
    },
    problems=(
        "unknown-order",
        "order-not-open",
        "order-busy",
        "already-paid",
        "payer-code",
        "used-payer-code",
        "expired-payer-code",
        *_OUTCOME,
    ),
)
def take_payment_code(body: bodies.PaymentCode, order_id: str) -> Response:
    """Pay the order by the code that the counter scanned from a payer's phone."""
    emulated = phone_trace.is_emulated_phone()
    paid = current_shop().payer_codes.present(order_id, body.text, emulated=emulated)
    if not isinstance(paid, UserPaying):
        return reply(payment_body(paid), 201)
    waiting = _payment_json(paid.payment) | {"user_paying": paid.as_json()}
    location = url_for("api.read_payment", payment_id=paid.payment.id)
    return reply(bodies.typed(bodies.UserPaying, waiting), 202, location=location)


@api.get(
    "/static-codes",
    "staticCodes",
    Answer(description="All of them.", body=bodies.StaticCodes),
    tag="Printed codes",
)
def static_codes() -> Response:
    """The shop's printed stickers, each with what its symbol may hold."""
    stickers = current_shop().static_codes.all()
    return reply(bodies.StaticCodes(static_codes=[_static_code_body(each) for each in stickers]))


@api.get(
    "/payments/<payment_id>",
    "readPayment",
    _PAYMENT,
    tag="Payments",
    problems=("unknown-payment",),
)
def read_payment(payment_id: str) -> Response:
    """One payment with its steps."""
    return reply(payment_body(current_shop().payments.get(payment_id)))


@api.get(
    "/comparison",
    "comparison",
    Answer(description="The figures.", body=bodies.Comparison),
    tag="Reports",
)
def comparison() -> Response:
    """Code and tap side by side, from the payments of this shop; real and emulated apart."""
    return reply(bodies.typed(bodies.Comparison, figures.comparison(current_shop())))


@api.get(
    "/settlements/<day>",
    "settlement",
    Answer(description="The closed day.", body=bodies.Settlement),
    tag="Reports",
    problems=("unknown-settlement", "date"),
)
def settlement(day: str) -> Response:
    """The net positions of one settlement date."""
    return reply(bodies.typed(bodies.Settlement, clearing_tables.settlement(current_shop(), day)))


def order_body(order: Order) -> bodies.Order:
    """An order as the API shows it; `qr` is null once nobody can pay it."""
    shop = current_shop()
    order = codes.with_live_code(shop, order)
    qr = None
    if order.state is OrderState.OPEN:
        path = f"{request.host_url.rstrip('/')}/api/v1/orders/{order.id}/qr"
        qr = {
            "link": codes.text_of(shop, order, emv=False),
            "emv": codes.text_of(shop, order, emv=True),
            "png": f"{path}.png",
            "svg": f"{path}.svg",
        }
    shown = order.as_json() | {"preauthorise": order.preauthorise, "qr": qr}
    return bodies.typed(bodies.Order, shown)


def payment_body(payment: Payment) -> bodies.Payment:
    """A payment as the API shows it, with its steps."""
    return bodies.typed(bodies.Payment, _payment_json(payment))


def _payment_json(payment: Payment) -> dict[str, object]:
    return {
        **payment_summary(payment),
        "started_at": payment.started_at.isoformat(timespec="milliseconds"),
        "timing_ms": payment.timing_json(),
        "steps": [step.as_json() for step in payment.steps],
    }


def _static_code_body(sticker: StaticCode) -> bodies.StaticCode:
    shop = current_shop()
    emv = static_payload(
        merchant=shop.config.merchant,
        code=sticker.code,
        currency=sticker.currency,
        key=shop.code_key,
        amount=sticker.amount,
        label=sticker.label,
    )
    shown = sticker.as_json() | {"link": codes.link_to(shop.config, sticker.code), "emv": emv}
    return bodies.typed(bodies.StaticCode, shown)
