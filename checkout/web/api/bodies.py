"""The JSON bodies of the API as types: what it takes, what it answers, what its webhooks carry.

The OpenAPI description is generated from them. Amounts are whole minor units, times ISO 8601 texts
with milliseconds, durations milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from checkout.acceptance.contract import Mode
from checkout.clearing.scheme.rules import House
from checkout.money import CURRENCIES
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.payments import PaymentState
from checkout.shop.webhooks.deliveries import DELIVERED, GIVEN_UP, PENDING, STOPPED
from checkout.shop.webhooks.events import EventType
from checkout.shop.webhooks.tables import URL_LENGTH
from checkout.trace import CertainParty, Nature

Body = TypeVar("Body", bound=Struct)


def _text(example: str | None, **schema: Any) -> Meta:
    return Meta(examples=[example], extra_json_schema=schema)


def _amount(example: int) -> Meta:
    # The shop checks the value: its limits depend on the order and the currency.
    return Meta(
        description="Minor units of the currency.",
        examples=[example],
        extra_json_schema={"minimum": 1},
        extra={"problem": "amount"},
    )


#: "paid" is an approved sale; a refund or a capture is "approved".
_PAYMENT_STATES = sorted({"paid", *(str(state) for state in PaymentState)})
_EVENT_TYPES = [str(each) for each in EventType]

# Signed with a key of zeros.
_DYNAMIC_EMV = (
    "00020101021226750018LANE.CHECKOUT.DEMO01159991560581200010213MFRGGZDFMZTWQ03137C"
    "NS6FJB3HTHY520458125303156540512.805802CN5914Lane Tea "
    "House6008SHANGHAI62230507table 407081000000163043665"
)
_STATIC_EMV = (
    "00020101021126750018LANE.CHECKOUT.DEMO01159991560581200010213MFRGGZDFMZTWQ0313HT"
    "SEVWI6WZSTQ5204581253031565802CN5914Lane Tea House6008SHANGHAI62230507table "
    "707081000000163040950"
)

OrderId = Annotated[str, _text("ord_5x7pq3z5q4xc6kav")]
PaymentId = Annotated[str, _text("pay_7m2kq4z5p3xc6kbw")]
EndpointId = Annotated[str, _text("whe_2c4mq7z5p3xc6kdf")]
Instant = Annotated[str, _text("2026-03-02T04:05:06.789+00:00", format="date-time")]
Day = Annotated[str, _text("2026-03-02", format="date")]
Currency = Annotated[str, _text("CNY")]
Minor = Annotated[int, Meta(examples=[1280])]
Count = Annotated[int, Meta(examples=[1])]
Milliseconds = Annotated[float, Meta(examples=[12.5])]
ModeName = Annotated[str, _text("qr", enum=[str(mode) for mode in Mode])]
PaymentStateName = Annotated[str, _text("paid", enum=_PAYMENT_STATES)]
EventTypeName = Annotated[str, _text("order.paid", enum=_EVENT_TYPES)]
MaskedPan = Annotated[
    str,
    Meta(description="First six and last four digits.", examples=["999901******0019"]),
]


# -- taken ---------------------------------------------------------------------------------------


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body: a field that is not declared is refused."""


class NewOrder(Request, frozen=True):
    """An order to open."""

    amount_minor: Annotated[int, _amount(1280)]
    currency: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            examples=["CNY"],
            extra_json_schema={"enum": sorted(CURRENCIES)},
        ),
    ]
    reference: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="The merchant's own text; made up by the shop where it is missing.",
                examples=["table 4"],
            ),
        ]
        | None
    ) = None
    preauthorise: bool = False


class Refund(Request, frozen=True):
    """How much to give back."""

    amount_minor: Annotated[int, _amount(500)]


class Capture(Request, frozen=True):
    """How much of a preauthorised order to take; all of it where nothing is given."""

    amount_minor: Annotated[int, _amount(1000)] | None = None


class NoFields(Request, frozen=True):
    """Nothing: an empty object, or no body at all."""


class PaymentCode(Request, frozen=True):
    """What the counter scanned from a payer's phone."""

    text: Annotated[
        str,
        Meta(min_length=1, max_length=512, examples=["hQVDUFYwMWETTwegAAADMwEBUAhVbmlvblBheQ=="]),
    ]


class NewWebhookEndpoint(Request, frozen=True):
    """Where to send events, and which; all of them where `events` is null."""

    url: Annotated[
        str,
        Meta(
            description="https, or http to a loopback or private address.",
            examples=["https://shop.example/webhooks"],
            extra_json_schema={"pattern": "^https?://[!-~]+$", "maxLength": URL_LENGTH},
        ),
    ]
    events: (
        Annotated[
            list[EventTypeName],
            Meta(extra_json_schema={"minItems": 1}, extra={"problem": "events"}),
        ]
        | None
    ) = None


# -- answered ------------------------------------------------------------------------------------


class Codes(Struct, frozen=True, kw_only=True):
    """An open order's code in four forms."""

    link: Annotated[str, _text("HTTP://192.0.2.10:8000/P/MFRGGZDFMZTWQ")]
    emv: Annotated[str, _text(_DYNAMIC_EMV)]
    png: Annotated[str, _text("http://192.0.2.10:8000/api/v1/orders/ord_5x7pq3z5q4xc6kav/qr.png")]
    svg: Annotated[str, _text("http://192.0.2.10:8000/api/v1/orders/ord_5x7pq3z5q4xc6kav/qr.svg")]


class Order(Struct, frozen=True, kw_only=True):
    """An order; `qr` is null once nobody can pay it."""

    id: OrderId
    reference: Annotated[str, _text("table 4")]
    amount_minor: Minor
    currency: Currency
    state: OrderState
    created_at: Instant
    expires_at: Instant
    code_expires_at: Instant
    payment_id: Annotated[str | None, _text(None)]
    captured_minor: Annotated[int, Meta(examples=[0])]
    refunded_minor: Annotated[int, Meta(examples=[0])]
    preauthorise: bool
    qr: Codes | None


class Step(Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """One message of a payment between two parties; `certain` is who knew for sure after it."""

    n: Count
    at_ms: Milliseconds
    source: Annotated[str, _text("shop")]
    target: Annotated[str, _text("switch")]
    what: Annotated[str, _text("purchase: 00 approved")]
    bytes_sent: Annotated[int, Meta(examples=[312])]
    bytes_received: Annotated[int, Meta(examples=[148])]
    took_ms: Milliseconds
    nature: Nature
    certain: CertainParty | UnsetType = UNSET
    detail: dict[str, Any] | UnsetType = UNSET


class Timing(Struct, frozen=True, kw_only=True):
    """How long a payment took; `modelled` is what a model added to an emulated part of it."""

    total: Milliseconds
    modelled: Annotated[float, Meta(examples=[0.0])]


class PaymentSummary(Struct, frozen=True, kw_only=True):
    """A payment without its steps; read `state`: a decline is an answer, not an error."""

    id: PaymentId
    mode: ModeName
    scheme: Annotated[str, _text("unionpay")]
    state: PaymentStateName
    response_code: Annotated[str, _text("00")] | None
    approval_code: Annotated[str, _text("482913")] | None
    rrn: Annotated[str, _text("606104000123")]
    pan: MaskedPan
    kind: Annotated[str, _text("sale", enum=["sale", "refund", "capture"])]
    order_id: OrderId
    amount_minor: Minor
    emulated: bool


class Payment(PaymentSummary, frozen=True):
    """A payment with its times and steps."""

    started_at: Instant
    timing_ms: Timing
    steps: list[Step]


class Wait(Struct, frozen=True, kw_only=True):
    """When to read the payment again, when the counter may give up, when the phone does."""

    query_at: Instant
    revocable_at: Instant
    until: Instant


class UserPaying(Payment, frozen=True):
    """A payment whose payer is being asked for the PIN on the phone."""

    user_paying: Wait


class StaticCode(Struct, frozen=True, kw_only=True):
    """A printed code; `amount_minor` is null where the payer types the amount."""

    code: Annotated[str, _text("MFRGGZDFMZTWQ")]
    number: Count
    label: Annotated[str, _text("table 7")]
    currency: Currency
    amount_minor: Minor | None
    created_at: Instant
    revoked: bool
    link: Annotated[str, _text("HTTP://192.0.2.10:8000/P/MFRGGZDFMZTWQ")]
    emv: Annotated[str, _text(_STATIC_EMV)]


class StaticCodes(Struct, frozen=True, kw_only=True):
    """The shop's printed codes."""

    static_codes: list[StaticCode]


class Spread(Struct, frozen=True, kw_only=True):
    """How a figure is distributed over the sales of a group."""

    median: Annotated[float, Meta(examples=[41.2])]
    p90: Annotated[float, Meta(examples=[55.0])]
    max: Annotated[float, Meta(examples=[70.3])]


class LiveTimes(Struct, frozen=True, kw_only=True):
    """From the code on the screen to the money, by the shop's clock."""

    sales: Count
    shown_to_noticed_ms: Spread | None
    noticed_to_paid_ms: Spread | None
    shown_to_paid_ms: Spread | None


class ComparisonGroup(Struct, frozen=True, kw_only=True):
    """The sales of one mode; real and emulated ones are never mixed.

    `modelled_ms` is what a model added, `waited_ms` what people took, `software_ms` the rest.
    """

    mode: ModeName
    emulated: bool
    payments: Count
    paid: Count
    declined_by_response_code: dict[str, int]
    unknown: Annotated[int, Meta(examples=[0])]
    reversed: Annotated[int, Meta(examples=[0])]
    software_ms: Spread | None
    waited_ms: Spread | None
    modelled_ms: Spread | None
    total_ms: Spread | None
    messages: Spread | None
    bytes: Spread | None
    live: LiveTimes


class StickerTimes(Struct, frozen=True, kw_only=True):
    """Sales by printed codes: from the page on the phone to the money."""

    emulated: bool
    sales: Count
    opened_to_paid_ms: Spread | None


class ReferenceStep(Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """One step as a standard or a network's rules have it."""

    source: Annotated[str, _text("phone")]
    target: Annotated[str, _text("shop")]
    what: Annotated[str, _text("Consent sent")]
    clause: Annotated[str, _text("RFC 9110, 9.3.3 (POST)")]


class ReferenceTable(Struct, frozen=True, kw_only=True):
    """The steps of one way to pay."""

    name: Annotated[str, _text("code")]
    title: Annotated[str, _text("The payer scans the counter's code")]
    mode: Annotated[str, _text("qr", enum=["qr", "nfc", "both"])]
    steps: list[ReferenceStep]


class Comparison(Struct, frozen=True, kw_only=True):
    """Code and tap side by side, from this shop's own sales."""

    payments: Count
    stickers: list[StickerTimes]
    groups: list[ComparisonGroup]
    reference: list[ReferenceTable]


class NetPosition(Struct, frozen=True, kw_only=True):
    """What one participant receives and owes; a positive net amount is received."""

    house: House
    participant: Annotated[str, _text("market-acquirer")]
    currency: Currency
    received_minor: Annotated[int, Meta(examples=[128000])]
    owed_minor: Annotated[int, Meta(examples=[3000])]
    net_minor: Annotated[int, Meta(examples=[125000])]
    count: Annotated[int, Meta(examples=[42])]


class MerchantStatement(Struct, frozen=True, kw_only=True):
    """What one merchant sold and is paid out."""

    house: House
    merchant: Annotated[str, _text("999156058120001")]
    currency: Currency
    sales_count: Annotated[int, Meta(examples=[42])]
    sales_minor: Annotated[int, Meta(examples=[128000])]
    returns_count: Annotated[int, Meta(examples=[1])]
    returns_minor: Annotated[int, Meta(examples=[1280])]
    fees_minor: Annotated[int, Meta(examples=[486])]
    payout_minor: Annotated[int, Meta(examples=[126234])]


class ClientMoney(Struct, frozen=True, kw_only=True):
    """What a wallet operator moved into the account that safeguards its payers' balances."""

    operator: Annotated[str, _text("wallet-operator")]
    currency: Currency
    moved_minor: Annotated[int, Meta(examples=[50000])]


class Settlement(Struct, frozen=True, kw_only=True):
    """One closed business date: net positions, merchant statements, safeguarded balances."""

    date: Day
    posted: Annotated[int, Meta(description="Held entries posted.", examples=[42])]
    expired: Annotated[int, Meta(description="Holds that ran out.", examples=[0])]
    positions: list[NetPosition]
    merchants: list[MerchantStatement]
    client_money: list[ClientMoney]


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Where events are sent; `events` is null for all of them."""

    id: EndpointId
    url: Annotated[str, _text("https://shop.example/webhooks")]
    events: list[EventTypeName] | None
    state: Annotated[str, _text("enabled", enum=["enabled", "disabled"])]
    disabled_reason: Annotated[str | None, _text(None)]
    created_at: Instant
    old_secret_until: Annotated[str | None, _text(None, format="date-time")]


class WebhookEndpointSecret(WebhookEndpoint, frozen=True):
    """An endpoint with its new secret, which no later answer shows."""

    secret: Annotated[
        str,
        _text(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
            pattern="^whsec_[A-Za-z0-9+/]{32,}={0,2}$",
        ),
    ]


class WebhookEndpoints(Struct, frozen=True, kw_only=True):
    """Every endpoint."""

    webhook_endpoints: list[WebhookEndpoint]


class DeliveryAttempt(Struct, frozen=True, kw_only=True):
    """One try to deliver; `status` is null where no answer came."""

    at: Instant
    took_ms: Milliseconds
    status: Annotated[int, Meta(examples=[200])] | None
    reason: Annotated[str, _text("delivered")]
    said: Annotated[str, Meta(description="How the receiver's answer began.", examples=["ok"])]


class WebhookDelivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint; `next_at` is null where no try follows."""

    id: Annotated[str, _text("whd_3f4mq7z5p3xc6kgh")]
    event_id: Annotated[str, _text("evt_4h4mq7z5p3xc6kjk")]
    type: EventTypeName
    order_id: OrderId
    endpoint_id: EndpointId
    state: Annotated[str, _text(DELIVERED, enum=[PENDING, DELIVERED, GIVEN_UP, STOPPED])]
    created_at: Instant
    next_at: Annotated[str | None, _text(None, format="date-time")]
    attempts: list[DeliveryAttempt]


class WebhookDeliveries(Struct, frozen=True, kw_only=True):
    """Deliveries, the newest first."""

    webhook_deliveries: list[WebhookDelivery]


class ProblemType(Struct, frozen=True, kw_only=True):
    """What a problem type means."""

    type: Annotated[str, _text("/api/v1/problems/already-paid")]
    title: Annotated[str, _text("The order has been paid")]
    status: Annotated[int, Meta(examples=[409])]


class Problem(Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457); `field` names the field that cannot be taken."""

    type: Annotated[str, _text("/api/v1/problems/amount", format="uri-reference")]
    title: Annotated[str, _text("The amount cannot be taken")]
    status: Annotated[int, Meta(examples=[422])]
    detail: Annotated[str, _text("amount_minor: expected a whole number")]
    field: Annotated[str, _text("amount_minor")] | UnsetType = UNSET


# -- sent by webhooks ----------------------------------------------------------------------------


class WebhookSubject(Struct, frozen=True, kw_only=True):
    """The order and payment that an event is about, as they are when it is sent."""

    order: Order
    payment: PaymentSummary | None


class WebhookEvent(Struct, frozen=True, kw_only=True):
    """The body of a webhook."""

    type: EventTypeName
    timestamp: Annotated[
        str,
        Meta(
            description="When it happened.",
            examples=["2026-03-02T04:05:06.789+00:00"],
            extra_json_schema={"format": "date-time"},
        ),
    ]
    data: WebhookSubject


def typed(body: type[Body], json: dict[str, Any]) -> Body:
    """The JSON form of one of the shop's values as a body of the API."""
    return msgspec.convert(json, body)
