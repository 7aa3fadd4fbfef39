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
from checkout.comparison.sales.shop_code_and_tap import WRONG_PIN, Tried, scan_and_pay, tap_and_pay
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.timing_models import load_models
from checkout.comparison.testbed.faulty_devices import FadingNetwork, LeavingCard
from checkout.comparison.testbed.ledger_audit import Booked, Books
from checkout.comparison.testbed.testbed import Loss, ServePages, Stand, open_stand
from checkout.demo.payers import DEMO_PIN, make_card
from checkout.demo.provisioning import shared_service
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payment_times import Certain
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import Step
from devices.nfc.contract import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class WayRun:
    """One column of the comparison; `model` is the way in `models.toml` that people follow."""

    name: str
    title: str
    mode: CellMode
    model: str
    house: str


WAYS = (
    WayRun(
        name="code-wallet", title="Code, wallet", mode="qr", model="qr-dynamic", house="three-party"
    ),
    WayRun(
        name="code-bank", title="Code, bank card", mode="qr", model="qr-dynamic", house="four-party"
    ),
    WayRun(
        name="code-payer",
        title="Payer's code, wallet",
        mode="payer-code",
        model="qr-payer-code",
        house="three-party",
    ),
    WayRun(name="tap-card", title="Tap, card", mode="nfc", model="nfc-card", house="four-party"),
    WayRun(name="tap-phone", title="Tap, phone", mode="nfc", model="nfc-phone", house="four-party"),
)

_LOSSES: dict[str, Loss] = {"request-lost": "request", "answer-lost": "answer"}
#: Steps of a way after which the shop, or the payer, has nothing left to learn.
_AFTER_SHOP = frozenset({"cashier-finish"})
_AFTER_PAYER = frozenset({"cashier-finish", "notify"})
#: The card's part of a tap is computed from the APDUs that were really exchanged.
_COMPUTED = frozenset({"plastic-answers", "phone-answers"})


#: What goes to these is a picture that is looked at, not a message.
_BY_SIGHT = frozenset({"phone", "counter"})
#: Clock time until the payer tries again: a payer's code is new each minute, and good once.
_TRY_AGAIN_S = {"qr": 1.0, "payer-code": 60.0, "nfc": 1.0}


@dataclass(slots=True, kw_only=True)
class _Told:
    """What was seen of one sale, try by try; each try's steps follow the one before."""

    steps: list[Step] = field(default_factory=list)
    software_ms: float = 0.0
    shop_ms: float | None = None
    payments: list[Payment] = field(default_factory=list)
    pins: int = 0
    air_ms: float = 0.0
    card_ms: float = 0.0
    refused: str = ""

    def add(self, tried: Tried) -> None:
        for step in tried.steps:
            self.steps.append(step.changed(at_ms=step.at_ms + self.software_ms))
        if tried.shop_ms is not None:
            self.shop_ms = self.software_ms + tried.shop_ms
        self.software_ms += tried.software_ms
        self.pins += tried.pins
        self.refused = tried.refused
        if tried.air is not None:
            self.air_ms += tried.air.air_ms
            self.card_ms += tried.air.card_ms


def run_way(
    way: WayRun,
    baskets: Sequence[Basket],
    scenario: Scenario,
    *,
    home: Path,
    serve_pages: ServePages,
    seed: int,
    progress: Callable[[], None] | None = None,
) -> tuple[Column, SamplePayment | None]:
    """Pay every basket one way on a fresh database in `home`; the sample is an approved sale."""
    with open_stand(home, f"{way.name}.db", scenario, serve_pages, seed=seed) as stand:
        for payer in sorted(set(HOLDS[way.name].values())):
            if way.mode == "nfc":
                make_card(payer, home, service=shared_service(lambda: stand.client))
        seen: list[tuple[Basket, _Told]] = []
        for basket in baskets:
            stand.clock.set_to(basket.number + 1)
            seen.append((basket, _sell(stand, way, basket, scenario)))
            if progress is not None:
                progress()
        books = Books(stand.database_url)
        try:
            booked = books.sales()
        finally:
            books.close()
    sales = [_sale(way, basket, told, booked, seed) for basket, told in seen]
    column = Column(name=way.name, title=way.title, mode=way.mode, sales=tuple(sales))
    return column, _sample(way, scenario, seen, sales)


def _sell(stand: Stand, way: WayRun, basket: Basket, scenario: Scenario) -> _Told:
    told = _Told()
    began = time.perf_counter()
    order = stand.shop.orders.create(amount_minor=basket.amount_minor, currency=scenario.currency)
    told.software_ms = (time.perf_counter() - began) * 1000
    stand.client.lose = _LOSSES.get(basket.fault or "")
    fault = basket.fault
    for _ in range(3):
        tried = _try(stand, way, order, HOLDS[way.name][basket.person], fault)
        told.add(tried)
        paid = tried.payment is not None and tried.payment.state is PaymentState.APPROVED
        if fault is None or paid:
            break
        # Whatever went wrong went wrong once; the payer tries again.
        fault = None
        stand.clock.move_on(_TRY_AGAIN_S[way.mode])
        order = stand.shop.orders.get(order.id)
        if way.mode == "qr" and order.state is OrderState.OPEN:
            order = stand.shop.orders.renew_code(order.id)
    stand.client.lose = None
    told.payments = list(stand.shop.payments.of_order(order.id))
    return told


def _try(stand: Stand, way: WayRun, order: Order, payer: str, fault: str | None) -> Tried:
    pin = WRONG_PIN if fault == "wrong-pin" else DEMO_PIN
    gone = fault == "payer-gone"
    if way.mode == "qr":
        network = FadingNetwork(method="POST") if gone else None
        return scan_and_pay(stand, order, payer, pin=pin, network=network)
    if way.mode == "payer-code":
        seen = (lambda shown: DARK_SCREEN) if gone else (lambda shown: shown.picture)
        return present_and_pay(stand, order, payer, pin=pin, scanned=seen, as_till=False)

    def leaving(card: Card) -> Card:
        return LeavingCard(card, after=2, leave=stand.reader.remove_card)

    return tap_and_pay(stand, order, payer, pin=pin, wrap=leaving if gone else None)


def _sale(
    way: WayRun, basket: Basket, told: _Told, booked: dict[str, list[Booked]], seed: int
) -> Sale:
    last = told.payments[-1] if told.payments else None
    kept = [one for payment in told.payments for one in booked.get(payment.rrn, ()) if one.kept]
    outcome = _outcome(last)
    modelled, shop_ms, payer_ms = _modelled(way, basket, told, seed)
    certain = outcome == "approved"
    messages = [step for step in told.steps if step.bytes_sent and step.target not in _BY_SIGHT]
    return Sale(
        way=way.name,
        basket=basket.number,
        payer=HOLDS[way.name][basket.person],
        scheme=last.scheme if last is not None else "",
        house=kept[0].house if kept else way.house,
        amount_minor=basket.amount_minor,
        outcome=outcome,
        response_code=last.response_code if last is not None else None,
        reason=last.response_text if last is not None else told.refused,
        software_ms=told.software_ms,
        modelled_ms=modelled,
        messages=sum(1 + bool(step.bytes_received) for step in messages),
        round_trips=Counter(step.target for step in messages if step.bytes_received),
        bytes_air=_bytes(messages, "card"),
        bytes_wire=_bytes(messages, "shop", "switch"),
        certain_shop_ms=shop_ms + (told.shop_ms or told.software_ms) if certain else None,
        certain_payer_ms=payer_ms + told.software_ms if certain else None,
        fault=basket.fault,
        resolved=_resolved(told),
        shares_minor=kept[0].shares_minor if kept else {},
        booked=len(kept),
    )


def _outcome(payment: Payment | None) -> Outcome:
    if payment is None:
        return "declined"
    if payment.state is PaymentState.APPROVED:
        return "approved"
    if payment.state is PaymentState.DECLINED:
        return "declined"
    return "reversed" if payment.state is PaymentState.REVERSED else "unknown"


def _resolved(told: _Told) -> str | None:
    states = [payment.state for payment in told.payments]
    if PaymentState.UNKNOWN in states:
        return "not yet"
    if PaymentState.REVERSED not in states:
        return None
    again = states[-1] is PaymentState.APPROVED
    return "reversed, then paid again" if again else "reversed"


def _bytes(steps: list[Step], *targets: str) -> int:
    return sum(step.bytes for step in steps if step.target in targets)


def _modelled(
    way: WayRun, basket: Basket, told: _Told, seed: int
) -> tuple[dict[str, float], float, float]:
    """Modelled milliseconds by nature, and what of them lies before each side is certain."""
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
    extra = {"air": told.air_ms, "card": told.card_ms} if told.air_ms else {}
    if model.pin is not None:
        pin = float(models.steps[model.pin].time_ms.sample(random, 1)[0])
        extra["human"] = pin * told.pins
    for nature, spent in extra.items():
        natures[nature] = natures.get(nature, 0.0) + spent
    before = sum(extra.values())
    return natures, shop_ms + before, payer_ms + before


def _sample(
    way: WayRun,
    scenario: Scenario,
    seen: Sequence[tuple[Basket, _Told]],
    sales: Sequence[Sale],
) -> SamplePayment | None:
    for (basket, told), sale in zip(seen, sales, strict=True):
        # The first sale warms everything up; a later one is more like all the rest.
        if sale.outcome != "approved" or sale.fault or (basket.number < 3 <= len(seen) - 1):
            continue
        return SamplePayment(
            title=way.title,
            mode=way.mode,
            amount=f"{scenario.currency} {basket.amount_minor / 100:.2f}",
            steps=decoded(told.steps),
            certain=Certain(shop_ms=told.shop_ms, payer_ms=told.software_ms),
        )
    return None
