"""The side-by-side run: every basket paid by every way, through the software as it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from checkout.acceptance.nfc.decoded_steps import decoded
from checkout.comparison.results import CellMode, Column, Outcome, Sale, SamplePayment
from checkout.comparison.sales.baskets import HOLDS, Basket
from checkout.comparison.sales.payer_code import DARK_SCREEN, present_and_pay
from checkout.comparison.sales.shop_code_and_tap import (
    WRONG_PIN,
    PaymentAttempt,
    scan_and_pay,
    tap_and_pay,
)
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.timing_models import load_models
from checkout.comparison.testbed.faulty_devices import FadingNetwork, LeavingCard
from checkout.comparison.testbed.ledger_audit import BookedSale, Books
from checkout.comparison.testbed.testbed import Loss, ServePages, Testbed, open_testbed
from checkout.demo.payers import DEMO_PIN, make_card
from checkout.demo.provisioning import shared_service
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payment_times import Certain
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import Step
from devices.nfc.contract import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentWay:
    """One column of the comparison; `model` names the way in `models.toml` that gives its times."""

    name: str
    title: str
    mode: CellMode
    model: str
    house: str


WAYS = (
    PaymentWay(
        name="code-wallet", title="Code, wallet", mode="qr", model="qr-dynamic", house="three-party"
    ),
    PaymentWay(
        name="code-bank", title="Code, bank card", mode="qr", model="qr-dynamic", house="four-party"
    ),
    PaymentWay(
        name="code-payer",
        title="Payer's code, wallet",
        mode="payer-code",
        model="qr-payer-code",
        house="three-party",
    ),
    PaymentWay(
        name="tap-card", title="Tap, card", mode="nfc", model="nfc-card", house="four-party"
    ),
    PaymentWay(
        name="tap-phone", title="Tap, phone", mode="nfc", model="nfc-phone", house="four-party"
    ),
)

_LOSSES: dict[str, Loss] = {"request-lost": "request", "answer-lost": "response"}
#: Modelled steps that come after the shop, or the payer, is certain of the money.
_AFTER_SHOP = frozenset({"cashier-finish"})
_AFTER_PAYER = frozenset({"cashier-finish", "notify"})
#: The card's part of a tap is computed from the APDUs that were really exchanged.
_COMPUTED = frozenset({"plastic-answers", "phone-answers"})
#: These receive a picture that is looked at, not a message.
_BY_SIGHT = frozenset({"phone", "counter"})
#: Clock time until the payer tries again: a payer's code is new each minute, and good once.
_TRY_AGAIN_S = {"qr": 1.0, "payer-code": 60.0, "nfc": 1.0}


@dataclass(slots=True, kw_only=True)
class _SaleRecord:
    """One sale, attempt after attempt; the steps of each attempt follow those of the one before."""

    steps: list[Step] = field(default_factory=list)
    software_ms: float = 0.0
    shop_ms: float | None = None
    payments: list[Payment] = field(default_factory=list)
    pins: int = 0
    air_ms: float = 0.0
    card_ms: float = 0.0
    refused: str = ""

    def add(self, attempt: PaymentAttempt) -> None:
        for step in attempt.steps:
            self.steps.append(step.changed(at_ms=step.at_ms + self.software_ms))
        if attempt.shop_ms is not None:
            self.shop_ms = self.software_ms + attempt.shop_ms
        self.software_ms += attempt.software_ms
        self.pins += attempt.pins
        self.refused = attempt.refused
        if attempt.air is not None:
            self.air_ms += attempt.air.air_ms
            self.card_ms += attempt.air.card_ms


def run_way(
    way: PaymentWay,
    baskets: Sequence[Basket],
    scenario: Scenario,
    *,
    home: Path,
    serve_pages: ServePages,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Column, SamplePayment | None]:
    """Pay every basket one way on a fresh database in `home`; the sample is an approved sale."""
    with open_testbed(home, f"{way.name}.db", scenario, serve_pages, seed=seed) as testbed:
        for payer in sorted(set(HOLDS[way.name].values())):
            if way.mode == "nfc":
                make_card(payer, home, service=shared_service(lambda: testbed.client))
        seen: list[tuple[Basket, _SaleRecord]] = []
        for basket in baskets:
            testbed.clock.set_to(basket.number + 1)
            seen.append((basket, _sell(testbed, way, basket, scenario)))
            progress(len(seen), len(baskets))
        books = Books(testbed.database_url)
        try:
            booked = books.sales()
        finally:
            books.close()
    sales = [_sale(way, basket, record, booked, seed) for basket, record in seen]
    column = Column(name=way.name, title=way.title, mode=way.mode, sales=tuple(sales))
    return column, _sample(way, scenario, seen, sales)


def _sell(testbed: Testbed, way: PaymentWay, basket: Basket, scenario: Scenario) -> _SaleRecord:
    record = _SaleRecord()
    began = time.perf_counter()
    order = testbed.shop.orders.create(amount_minor=basket.amount_minor, currency=scenario.currency)
    record.software_ms = (time.perf_counter() - began) * 1000
    testbed.client.lose = _LOSSES.get(basket.fault or "")
    fault = basket.fault
    for _ in range(3):
        attempt = _try(testbed, way, order, HOLDS[way.name][basket.person], fault)
        record.add(attempt)
        paid = attempt.payment is not None and attempt.payment.state is PaymentState.APPROVED
        if fault is None or paid:
            break
        # A fault happens once; the payer tries again.
        fault = None
        testbed.clock.advance(_TRY_AGAIN_S[way.mode])
        order = testbed.shop.orders.get(order.id)
        if way.mode == "qr" and order.state is OrderState.OPEN:
            order = testbed.shop.orders.renew_code(order.id)
    testbed.client.lose = None
    record.payments = list(testbed.shop.payments.of_order(order.id))
    return record


def _try(
    testbed: Testbed, way: PaymentWay, order: Order, payer: str, fault: str | None
) -> PaymentAttempt:
    pin = WRONG_PIN if fault == "wrong-pin" else DEMO_PIN
    gone = fault == "payer-gone"
    if way.mode == "qr":
        network = FadingNetwork(method="POST") if gone else None
        return scan_and_pay(testbed, order, payer, pin=pin, network=network)
    if way.mode == "payer-code":
        seen = (lambda shown: DARK_SCREEN) if gone else (lambda shown: shown.picture)
        return present_and_pay(testbed, order, payer, pin=pin, scanned=seen, as_till=False)

    def leaving(card: Card) -> Card:
        return LeavingCard(card, after=2, leave=testbed.reader.remove_card)

    return tap_and_pay(testbed, order, payer, pin=pin, wrap=leaving if gone else None)


def _sale(
    way: PaymentWay,
    basket: Basket,
    record: _SaleRecord,
    booked: dict[str, list[BookedSale]],
    seed: int,
) -> Sale:
    last = record.payments[-1] if record.payments else None
    in_force = [
        sale for payment in record.payments for sale in booked.get(payment.rrn, ()) if sale.in_force
    ]
    outcome = _outcome(last)
    modelled, shop_ms, payer_ms = _modelled(way, basket, record, seed)
    certain = outcome == "approved"
    messages = [step for step in record.steps if step.bytes_sent and step.target not in _BY_SIGHT]
    return Sale(
        way=way.name,
        basket=basket.number,
        payer=HOLDS[way.name][basket.person],
        scheme=last.scheme if last is not None else "",
        house=in_force[0].house if in_force else way.house,
        amount_minor=basket.amount_minor,
        outcome=outcome,
        response_code=last.response_code if last is not None else None,
        reason=last.response_text if last is not None else record.refused,
        software_ms=record.software_ms,
        modelled_ms=modelled,
        messages=sum(1 + bool(step.bytes_received) for step in messages),
        round_trips=Counter(step.target for step in messages if step.bytes_received),
        bytes_air=_bytes(messages, "card"),
        bytes_wire=_bytes(messages, "shop", "switch"),
        certain_shop_ms=shop_ms + (record.shop_ms or record.software_ms) if certain else None,
        certain_payer_ms=payer_ms + record.software_ms if certain else None,
        fault=basket.fault,
        resolved=_resolved(record),
        shares_minor=in_force[0].shares_minor if in_force else {},
        booked=len(in_force),
    )


def _outcome(payment: Payment | None) -> Outcome:
    if payment is None:
        return "declined"
    if payment.state is PaymentState.APPROVED:
        return "approved"
    if payment.state is PaymentState.DECLINED:
        return "declined"
    return "reversed" if payment.state is PaymentState.REVERSED else "unknown"


def _resolved(record: _SaleRecord) -> str | None:
    states = [payment.state for payment in record.payments]
    if PaymentState.UNKNOWN in states:
        return "not yet"
    if PaymentState.REVERSED not in states:
        return None
    paid = states[-1] is PaymentState.APPROVED
    return "reversed, then paid again" if paid else "reversed"


def _bytes(steps: list[Step], *targets: str) -> int:
    return sum(step.bytes for step in steps if step.target in targets)


def _modelled(
    way: PaymentWay, basket: Basket, record: _SaleRecord, seed: int
) -> tuple[dict[str, float], float, float]:
    """Modelled milliseconds by nature; and those before the shop, and the payer, are certain."""
    models = load_models()
    model = models.ways[way.model]
    random = np.random.default_rng([seed, 4, basket.number, *way.model.encode()])
    natures: dict[str, float] = {}
    shop_ms = payer_ms = 0.0
    for name in model.steps:
        step = models.steps[name]
        drawn = float(step.time_ms.sample(random, 1)[0])
        if step.nature == "software" or name in _COMPUTED:
            continue
        natures[step.nature] = natures.get(step.nature, 0.0) + drawn
        shop_ms += 0.0 if name in _AFTER_SHOP else drawn
        payer_ms += 0.0 if name in _AFTER_PAYER else drawn
    extra = {"air": record.air_ms, "card": record.card_ms} if record.air_ms else {}
    if model.pin is not None:
        pin = float(models.steps[model.pin].time_ms.sample(random, 1)[0])
        extra["human"] = pin * record.pins
    for nature, spent in extra.items():
        natures[nature] = natures.get(nature, 0.0) + spent
    before = sum(extra.values())
    return natures, shop_ms + before, payer_ms + before


def _sample(
    way: PaymentWay,
    scenario: Scenario,
    seen: Sequence[tuple[Basket, _SaleRecord]],
    sales: Sequence[Sale],
) -> SamplePayment | None:
    for (basket, record), sale in zip(seen, sales, strict=True):
        # The first sales are slower than the rest, since caches are cold.
        if sale.outcome != "approved" or sale.fault or (basket.number < 3 <= len(seen) - 1):
            continue
        return SamplePayment(
            title=way.title,
            mode=way.mode,
            amount=f"{scenario.currency} {basket.amount_minor / 100:.2f}",
            steps=decoded(record.steps),
            certain=Certain(shop_ms=record.shop_ms, payer_ms=record.software_ms),
        )
    return None
