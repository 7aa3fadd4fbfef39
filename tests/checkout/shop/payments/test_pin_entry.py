"""A payment waits for its PIN: it is held, continued once or given up, never left hanging."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.nfc.authorization import Evidence
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers, make_card
from checkout.errors import ShopError
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.payments.pin_entry import PIN_WITHIN_S
from checkout.shop.shop import Shop
from checkout.trace import Trace
from devices.nfc.emulated import in_process, open_card

LARGE = 150_000  # over the limit without a PIN


@dataclass
class Clock:
    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("waiting-home")
    shop = Shop.open(Config(home=home), payers=DemoPayers(), own_switch=True, clock=clock)
    make_card("unionpay-debit", home)
    shop.clearing()  # the switch, with its tables
    yield shop
    shop.close()


def evidence_of(
    shop: Shop, order: Order, name: str = "unionpay-debit", trace: Trace | None = None
) -> Evidence:
    reader = in_process(open_card(name, shop.config.home))
    try:
        card = reader.wait_for_card(1)
        assert card is not None
        terminal = tap.load(shop.config.home, clock=shop.orders.clock)
        asked = tap.purchase(terminal, order.amount_minor, order.currency)
        result = tap.walk(terminal, card, asked, trace=trace)
    finally:
        reader.close()
    assert result.online_pin_required
    found = tap.evidence(result)
    assert found is not None
    return found


def held(shop: Shop, name: str = "unionpay-debit") -> Payment:
    order = shop.orders.create(amount_minor=LARGE)
    trace = Trace()
    payment = shop.tap_payments.pay(
        order.id,
        evidence_of(shop, order, name, trace),
        emulated=True,
        payer=name,
        hold_for_pin=True,
        trace=trace,
    )
    assert payment.state is PaymentState.PENDING
    return payment


def spent(shop: Shop) -> int:
    entries = shop.books.entries(limit=1000)
    kept = [e for e in entries if e.kind == "purchase" and str(e.status) in ("pending", "posted")]
    return sum(entry.amount_minor for entry in kept)


def test_a_held_payment_keeps_its_order_from_everyone_else(shop: Shop) -> None:
    payment = held(shop)
    order = shop.orders.get(payment.order_id)
    assert (order.state, order.payment_id) == (OrderState.AUTHORIZING, payment.id)
    with pytest.raises(ShopError) as refused:
        shop.code_payments.pay(order.code, payer="unionpay-credit", pin=DEMO_PIN)
    assert refused.value.kind in ("order-busy", "used-code")
    wait = shop.pin_entry.of_order(order.id)
    assert wait is not None
    assert (wait.payment_id, wait.place) == (payment.id, "counter")
    assert shop.pin_entry.at("counter") == wait
    assert shop.pin_entry.at("phone") is None
    shop.pin_entry.cancel(payment.id)


def test_the_right_pin_pays_and_the_payers_time_is_told_apart(shop: Shop, clock: Clock) -> None:
    before = spent(shop)
    payment = held(shop)
    clock.advance(20)
    paid = shop.pin_entry.enter_pin(payment.id, DEMO_PIN)
    assert paid.state is PaymentState.APPROVED, paid.response_text
    assert spent(shop) - before == LARGE
    waited = [step for step in paid.steps if step.nature == "waited"]
    assert [step.source for step in waited] == ["payer"]
    assert 19_000 < waited[0].took_ms <= paid.total_ms
    assert [step.n for step in paid.steps] == list(range(1, len(paid.steps) + 1))
    assert paid.steps[0].target == "card"
    assert paid.steps[-1].target == "switch"
    assert shop.orders.get(payment.order_id).state is OrderState.PAID


def test_a_wrong_pin_is_declined_and_gives_the_order_back(shop: Shop) -> None:
    before = spent(shop)
    payment = held(shop, "unionpay-debit")
    declined = shop.pin_entry.enter_pin(payment.id, "000000")
    assert (declined.state, declined.response_code) == (PaymentState.DECLINED, "55")
    assert shop.orders.get(payment.order_id).state is OrderState.OPEN
    assert spent(shop) == before
    # The right one sets the count of tries back for the tests that follow.
    again = shop.orders.get(payment.order_id)
    held_again = shop.tap_payments.pay(
        again.id, evidence_of(shop, again), emulated=True, hold_for_pin=True
    )
    assert shop.pin_entry.enter_pin(held_again.id, DEMO_PIN).state is PaymentState.APPROVED


def test_an_odd_pin_is_refused_and_it_waits_on(shop: Shop) -> None:
    payment = held(shop)
    for odd in ("", "12345", "1234567", "12345a", "١٢٣٤٥٦"):
        with pytest.raises(ShopError) as refused:
            shop.pin_entry.enter_pin(payment.id, odd)
        assert refused.value.kind == "pin"
        assert odd == "" or odd not in str(refused.value)
    assert shop.pin_entry.get(payment.id) is not None
    shop.pin_entry.cancel(payment.id)


def test_cancelling_declines_books_nothing_and_opens_the_order(shop: Shop) -> None:
    before = spent(shop)
    payment = held(shop)
    gone = shop.pin_entry.cancel(payment.id)
    assert (gone.state, gone.response_code) == (PaymentState.DECLINED, "17")
    assert "cancelled" in gone.response_text
    assert shop.orders.get(payment.order_id).state is OrderState.OPEN
    assert spent(shop) == before
    for late in (
        lambda: shop.pin_entry.cancel(payment.id),
        lambda: shop.pin_entry.enter_pin(payment.id, DEMO_PIN),
    ):
        with pytest.raises(ShopError) as refused:
            late()
        assert refused.value.kind == "not-waiting"


def test_the_sweep_leaves_it_alone_until_its_time_is_up(shop: Shop, clock: Clock) -> None:
    before = spent(shop)
    payment = held(shop)
    clock.advance(PIN_WITHIN_S - 10)  # far past what an unanswered message is given
    shop.sweep()
    assert shop.payments.get(payment.id).state is PaymentState.PENDING
    clock.advance(11)
    with pytest.raises(ShopError):
        shop.pin_entry.enter_pin(payment.id, DEMO_PIN)
    shop.sweep()
    ended = shop.payments.get(payment.id)
    assert (ended.state, ended.response_code) == (PaymentState.DECLINED, "P1")
    assert shop.orders.get(payment.order_id).state is OrderState.OPEN
    assert spent(shop) == before


def test_another_process_goes_on_with_it(shop: Shop, clock: Clock) -> None:
    payment = held(shop)
    other = Shop.open(shop.config, payers=DemoPayers(), clock=clock)
    try:
        assert other.pin_entry.enter_pin(payment.id, DEMO_PIN).state is PaymentState.APPROVED
    finally:
        other.close()


def test_of_many_submissions_one_completes(shop: Shop) -> None:
    before = spent(shop)
    payment = held(shop)
    start = threading.Barrier(4)
    ended: list[object] = []

    def submit() -> None:
        start.wait()
        try:
            ended.append(shop.pin_entry.enter_pin(payment.id, DEMO_PIN).state)
        except ShopError as error:
            ended.append(error.kind)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(map(str, ended)) == ["approved", "not-waiting", "not-waiting", "not-waiting"]
    assert spent(shop) - before == LARGE


def test_a_process_that_dies_with_the_pin_in_hand_leaves_no_charge(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spent(shop)
    payment = held(shop)

    class Dies(BaseException):
        pass

    def die(*_: object, **__: object) -> Payment:
        raise Dies

    with monkeypatch.context() as dying:
        dying.setattr(shop.authorisation, "complete", die)
        with pytest.raises(Dies):
            shop.pin_entry.enter_pin(payment.id, DEMO_PIN)
    shop.sweep()  # it may be alive, and sending: nothing is touched yet
    assert shop.payments.get(payment.id).state is PaymentState.PENDING
    clock.advance(16)
    shop.sweep()
    assert shop.payments.get(payment.id).state is PaymentState.REVERSED
    assert shop.orders.get(payment.order_id).state is OrderState.OPEN
    assert spent(shop) == before


def test_a_real_card_is_never_asked_for_its_pin(shop: Shop) -> None:
    order = shop.orders.create(amount_minor=LARGE)
    real = Evidence(
        decision="online", scheme="unionpay", pan="9999991234567893", shown="***4321", real=True
    )
    for more in ({"hold_for_pin": True}, {"pin": DEMO_PIN}):
        payment = shop.tap_payments.pay(order.id, real, emulated=False, **more)  # type: ignore[arg-type]
        assert (payment.state, payment.response_code) == (PaymentState.DECLINED, "14")
        assert "PIN block" not in str(payment.steps)
        assert shop.pin_entry.of_order(order.id) is None


def test_no_pin_and_no_block_of_it_is_kept_anywhere(shop: Shop, tmp_path: Path) -> None:
    block: list[bytes] = []
    payment = held(shop)
    client = shop.clearing()
    encrypt = client.encrypt_pin

    def watch(pin: str, account: str) -> bytes:
        block.append(encrypt(pin, account))
        return block[-1]

    client.encrypt_pin = watch  # type: ignore[method-assign]
    try:
        shop.pin_entry.enter_pin(payment.id, DEMO_PIN)
    finally:
        client.encrypt_pin = encrypt  # type: ignore[method-assign]
    copy = tmp_path / "copy.db"
    with (
        sqlite3.connect(shop.config.home / "checkout.db") as source,
        sqlite3.connect(copy) as target,
    ):
        source.backup(target)
    kept = copy.read_bytes()
    assert block[0] not in kept
    assert block[0].hex().encode() not in kept.lower()
    assert DEMO_PIN.encode() not in kept
    with closing(sqlite3.connect(copy)) as rows:
        assert rows.execute("SELECT count(*) FROM shop_waiting").fetchone() == (0,)


def test_a_cancel_and_a_pin_at_once_leave_one_of_them_true(shop: Shop) -> None:
    payment, before = held(shop), spent(shop)
    done: list[str] = []
    start = threading.Barrier(6)

    def attempt(name: str, act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except ShopError:
            return
        done.append(name)

    threads = [
        threading.Thread(target=attempt, args=(name, act))
        for name, act in [
            ("cancel", lambda: shop.cancel(payment.order_id)),
            ("pin", lambda: shop.pin_entry.enter_pin(payment.id, DEMO_PIN)),
        ]
        * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    state = shop.orders.get(payment.order_id).state
    taken = spent(shop) - before
    assert (state, taken) == {
        "cancel": (OrderState.CANCELLED, 0),
        "pin": (OrderState.PAID, LARGE),
    }[done[0]]


def test_a_cancelled_order_ends_the_wait_and_holds_no_money(shop: Shop) -> None:
    payment, before = held(shop), spent(shop)
    assert shop.cancel(payment.order_id).state is OrderState.CANCELLED
    ended = shop.payments.get(payment.id)
    assert (ended.state, ended.response_code) == (PaymentState.DECLINED, "17")
    assert shop.pin_entry.of_order(payment.order_id) is None
    with pytest.raises(ShopError, match="cancelled"):
        shop.cancel(payment.order_id)
    assert spent(shop) == before


def test_an_order_whose_wait_has_just_run_out_is_cancelled_all_the_same(
    shop: Shop, clock: Clock
) -> None:
    payment = held(shop)
    clock.advance(PIN_WITHIN_S + 1)
    assert shop.cancel(payment.order_id).state is OrderState.CANCELLED
