"""The lab of the trials: a testbed behind a proxy, a switch that can be killed, and its books."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from checkout.acceptance.nfc import terminal
from checkout.clearing.client.client import DEFAULT_PARTICIPANT, SwitchClient
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.scheme.participants import demo_participants
from checkout.clearing.switch.discovery import find_switch
from checkout.comparison.results import Cell, CellMode, Verdict
from checkout.comparison.sales.payer_code import present_and_pay
from checkout.comparison.sales.shop_code_and_tap import PaymentAttempt, scan_and_pay, tap_and_pay
from checkout.comparison.testbed.ledger_audit import BookedSale, Books
from checkout.comparison.testbed.proxy import Proxy
from checkout.comparison.testbed.shop_process import ShopProcess
from checkout.comparison.testbed.switch_process import SwitchProcess, SwitchThread
from checkout.comparison.testbed.testbed import RunningClock, ServePages, Testbed
from checkout.config import Config
from checkout.database import open_engine
from checkout.demo.emulated_reader import EmulatedReader
from checkout.demo.payers import DEFAULT_PAYER, DemoPayers, make_card
from checkout.demo.provisioning import shared_service
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payer_codes import UsedPayerCodes
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop, prepare_tables

#: How long the shop waits for an answer here; a point of sale waits 10 s.
TIMEOUT_S = 0.4
AMOUNT_MINOR = 1280
#: Over every limit up to which no PIN is asked.
DEAR_MINOR = 150_000
_MINUTE_S = 60.0
_LONGEST_TEXT = 150


@dataclass(slots=True, kw_only=True)
class Lab:
    """Everything that faults and attacks need; one lab serves a whole matrix."""

    testbed: Testbed
    serve_pages: ServePages
    proxy: Proxy
    switch: SwitchProcess | SwitchThread
    books: Books

    @property
    def shop(self) -> Shop:
        """The shop of the testbed."""
        return self.testbed.shop

    def order(self, amount_minor: int = AMOUNT_MINOR) -> Order:
        """A fresh order."""
        return self.shop.orders.create(amount_minor=amount_minor, currency="CNY")

    def with_live_code(self, order: Order) -> Order:
        """The order with a code that can still be scanned."""
        now = self.shop.orders.get(order.id)
        if now.state is OrderState.OPEN:
            return self.shop.orders.renew_code(order.id)
        return now

    def new_code(self, payer: str) -> None:
        """Advance to a minute in which that payer's code is unused: each code is good once."""
        used = UsedPayerCodes(self.shop.engine)
        while used.of_digits(self.shop.payer_codes.show(payer).digits) is not None:
            self.testbed.clock.advance(_MINUTE_S)

    def new_reader(self) -> None:
        """Plug in a new reader after the last one was pulled out."""
        service = shared_service(lambda: self.testbed.client)
        self.testbed.reader = EmulatedReader(self.testbed.config.home, service)

    @contextmanager
    def stranger_shop(self, name: str) -> Iterator[Shop]:
        """Another merchant's shop, with orders of its own and the same clearing backend."""
        config = replace(
            self.testbed.config,
            database=str(self.testbed.config.home / "stranger.db"),
            merchant=replace(
                self.testbed.config.merchant, name=name, merchant_id="999156058129999"
            ),
        )
        engine = open_engine(config.database_url)
        prepare_tables(engine, self.testbed.clock())
        shop = Shop(
            config,
            engine,
            clearing=lambda: self.testbed.client,
            clock=self.testbed.clock,
            payers=DemoPayers(),
        )
        try:
            yield shop
        finally:
            shop.close()
            engine.dispose()

    def booked(self, payments: tuple[Payment, ...]) -> list[BookedSale]:
        """The sales of these payments that are in force in the books."""
        return [
            sale for payment in payments for sale in self.books.of(payment.rrn) if sale.in_force
        ]

    @contextmanager
    def shop_process(self) -> Iterator[ShopProcess]:
        """The same shop in a process of its own, which reaches the switch through the proxy."""
        process = ShopProcess(self.testbed.config)
        with self.behind_proxy():
            try:
                process.start()
                yield process
            finally:
                process.kill()

    @contextmanager
    def behind_proxy(self) -> Iterator[None]:
        """Let every process that looks for the switch find the proxy instead, for a while."""
        address_file = next((self.testbed.config.home / "switch").glob("*.json"))
        text = address_file.read_text("ascii")
        host, port = self.proxy.address
        switch = find_switch(self.testbed.config.home, self.testbed.config.database_url)
        before, self.proxy.switch = self.proxy.switch, lambda: switch
        address_file.write_text(
            json.dumps(json.loads(text) | {"host": host, "port": port}), "ascii"
        )
        try:
            yield
        finally:
            address_file.write_text(text, "ascii")
            self.proxy.switch = before

    def recover(self, *, seconds: float = 6.0) -> None:
        """Let time pass and the shop do its housekeeping until no payment waits for a response."""
        self.proxy.unblock()
        for _ in range(20):
            self.testbed.clock.advance(seconds)
            self.shop.sweep()
            recent = self.shop.payments.recent(30)
            waiting = (PaymentState.UNKNOWN, PaymentState.PENDING)
            if not any(payment.state in waiting for payment in recent):
                return
            time.sleep(0.05)


@contextmanager
def open_lab(serve_pages: ServePages, *, in_process: bool = False) -> Iterator[Lab]:
    """Set a lab up in a scratch home and take it down again.

    With `in_process` the switch is a thread, so that a test can remove its defences.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="checkout-lab-")))
        config = Config(home=home, clearing_timeout_s=TIMEOUT_S, reversal_retry_s=0.0)
        clock = RunningClock(datetime.now(UTC))
        make_card(DEFAULT_PAYER, home)
        engine = open_engine(config.database_url)
        stack.callback(engine.dispose)
        prepare_tables(engine, clock())
        switch = SwitchThread(config, clock) if in_process else SwitchProcess(config)
        stack.callback(switch.stop)
        switch.start()
        proxy = Proxy(lambda: find_switch(home, config.database_url))
        stack.callback(proxy.close)
        client = client_of(config, lambda: proxy.address, clock=clock)
        stack.callback(client.close)
        shop = Shop(config, engine, clearing=lambda: client, clock=clock, payers=DemoPayers())
        stack.callback(shop.close)
        testbed = Testbed(
            config=config,
            clock=clock,
            shop=shop,
            client=client,
            terminal=terminal.load(home, clock=clock),
            reader=EmulatedReader(home, shared_service(lambda: client)),
            origin=stack.enter_context(serve_pages(shop)),
            database_url=config.database_url,
        )
        stack.callback(lambda: testbed.reader.close())
        books = Books(config.database_url)
        stack.callback(books.close)
        yield Lab(testbed=testbed, serve_pages=serve_pages, proxy=proxy, switch=switch, books=books)


def client_of(
    config: Config, address: Callable[[], tuple[str, int] | None], *, clock: RunningClock
) -> SwitchClient:
    """A client of the shop's acquirer that reaches the switch by `address`."""
    keys = KeyStore(config.home)
    return SwitchClient(
        address,
        demo_participants().by_id[DEFAULT_PARTICIPANT],
        lambda: keys.zone_key(DEFAULT_PARTICIPANT),
        clock=clock,
    )


@dataclass(slots=True, kw_only=True)
class TrialRun:
    """One trial by one mode while it runs: the order, and what each side sees."""

    lab: Lab
    name: str
    mode: CellMode
    order: Order
    payer: str = DEFAULT_PAYER
    origin: str | None = None  # of another process that serves the shop
    payer_saw: list[str] = field(default_factory=list)
    shop_saw: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def pay(self, **how: object) -> PaymentAttempt:
        """One attempt to pay by the mode of this run; records what payer and shop see of it."""
        self.order = self.lab.with_live_code(self.order)
        testbed, what = self.lab.testbed, (self.order, self.payer)
        if self.mode == "nfc":
            attempt = tap_and_pay(testbed, *what, **how)  # type: ignore[arg-type]
        elif self.mode == "qr":
            attempt = scan_and_pay(testbed, *what, origin=self.origin, **how)  # type: ignore[arg-type]
        else:
            if self.origin is None:  # the clock of another process cannot be advanced
                self.lab.new_code(self.payer)
            attempt = present_and_pay(testbed, *what, origin=self.origin, **how)  # type: ignore[arg-type]
        self.record(attempt)
        return attempt

    def pay_if_open(self) -> None:
        """Another attempt, if the order still waits to be paid."""
        if self.lab.shop.orders.get(self.order.id).state is OrderState.OPEN:
            self.pay()

    def other_order(self, amount_minor: int) -> TrialRun:
        """A run with another order of the same payer, by the same mode."""
        order = self.lab.order(amount_minor)
        return TrialRun(lab=self.lab, name=self.name, mode=self.mode, order=order, payer=self.payer)

    def record(self, attempt: PaymentAttempt) -> None:
        """Record what both sides see of an attempt."""
        self.payer_saw.append(attempt.payer_saw)
        state = "" if attempt.payment is None else str(attempt.payment.state)
        self.shop_saw.append(attempt.shop_refusal or state or attempt.refused)

    def conclude(self, verdict: Verdict | None = None) -> Cell:
        """Let everything settle, then read from the books who holds the money."""
        self.lab.proxy.drop_rules()
        self.lab.recover()
        order = self.lab.shop.orders.get(self.order.id)
        payments = self.lab.shop.payments.of_order(order.id)
        booked = self.lab.booked(payments)
        paid = order.state is OrderState.PAID
        repaired = any(payment.state is PaymentState.REVERSED for payment in payments)
        self.shop_saw.append(f"order {order.state}")
        lost = order.amount_minor if bool(booked) != paid else 0
        return Cell(
            name=self.name,
            mode=self.mode,
            verdict=verdict or ("repaired" if repaired else "safe"),
            payer_saw=_joined(self.payer_saw),
            shop_saw=_joined(self.shop_saw),
            holds=_holder(len(booked)),
            money_lost_minor=lost,
            taken_twice_minor=max(0, len(booked) - 1) * order.amount_minor,
            took_ms=(time.perf_counter() - self.began) * 1000,
        )


def _holder(count: int) -> str:
    return {0: "the payer", 1: "the shop, once"}.get(count, f"the shop, {count} times")


def _joined(texts: list[str]) -> str:
    """The texts in their order; equal texts in a row are written once, with their number."""
    counted = [(text, len(list(same))) for text, same in groupby(map(_short, texts))]
    return ", then ".join(f"{text} ({n} times)" if n > 1 else text for text, n in counted)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    if len(plain) <= _LONGEST_TEXT:
        return plain
    return plain[: _LONGEST_TEXT - 2].rsplit(" ", 1)[0] + " ..."
