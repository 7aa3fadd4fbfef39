"""A stand to break things at: the switch in a process of its own behind a gate, and its books."""

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
from checkout.clearing.switch.discovery import find
from checkout.comparison.results import Cell, CellMode, Verdict
from checkout.comparison.sales.payer_code import present_and_pay
from checkout.comparison.sales.shop_code_and_tap import Tried, scan_and_pay, tap_and_pay
from checkout.comparison.testbed.ledger_audit import Booked, Books
from checkout.comparison.testbed.proxy import Gate
from checkout.comparison.testbed.shop_process import ShopProcess
from checkout.comparison.testbed.switch_process import SwitchProcess, SwitchThread
from checkout.comparison.testbed.testbed import RunningClock, ServePages, Stand
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
_LONGEST_TOLD = 150


@dataclass(slots=True, kw_only=True)
class Rig:
    """Everything that a fault or an attack needs; one for a whole matrix."""

    stand: Stand
    serve_pages: ServePages
    gate: Gate
    switch: SwitchProcess | SwitchThread
    books: Books

    @property
    def shop(self) -> Shop:
        """The shop."""
        return self.stand.shop

    def order(self, amount_minor: int = AMOUNT_MINOR) -> Order:
        """A fresh order."""
        return self.shop.orders.create(amount_minor=amount_minor, currency="CNY")

    def live(self, order: Order) -> Order:
        """The order with a code that can still be scanned."""
        now = self.shop.orders.get(order.id)
        if now.state is OrderState.OPEN:
            return self.shop.orders.renew_code(order.id)
        return now

    def new_code(self, payer: str) -> None:
        """Move on to a minute whose code of that payer has not been used: each is good once."""
        used = UsedPayerCodes(self.shop.engine)
        while used.of_digits(self.shop.payer_codes.show(payer).digits) is not None:
            self.stand.clock.move_on(_MINUTE_S)

    def new_reader(self) -> None:
        """Plug a reader in where the last one was pulled out."""
        service = shared_service(lambda: self.stand.client)
        self.stand.reader = EmulatedReader(self.stand.config.home, service)

    @contextmanager
    def stranger_shop(self, name: str) -> Iterator[Shop]:
        """Another merchant's shop, with orders of its own and the same clearing backend."""
        config = replace(
            self.stand.config,
            database=str(self.stand.config.home / "stranger.db"),
            merchant=replace(self.stand.config.merchant, name=name, merchant_id="999156058129999"),
        )
        engine = open_engine(config.database_url)
        prepare_tables(engine, self.stand.clock())
        shop = Shop(
            config,
            engine,
            clearing=lambda: self.stand.client,
            clock=self.stand.clock,
            payers=DemoPayers(),
        )
        try:
            yield shop
        finally:
            shop.close()
            engine.dispose()

    def held(self, payments: tuple[Payment, ...]) -> list[Booked]:
        """The sales of these payments that the books hold."""
        return [one for payment in payments for one in self.books.of(payment.rrn) if one.kept]

    @contextmanager
    def shop_process(self) -> Iterator[ShopProcess]:
        """The same shop in a process of its own, its line to the switch through the gate."""
        process = ShopProcess(self.stand.config)
        with self.in_the_way():
            try:
                process.start()
                yield process
            finally:
                process.kill()

    @contextmanager
    def in_the_way(self) -> Iterator[None]:
        """Have whoever looks for the switch find the gate instead, for a while."""
        note = next((self.stand.config.home / "switch").glob("*.json"))
        told = note.read_text("ascii")
        host, port = self.gate.address
        switch = find(self.stand.config.home, self.stand.config.database_url)
        before, self.gate.switch = self.gate.switch, lambda: switch
        note.write_text(json.dumps(json.loads(told) | {"host": host, "port": port}), "ascii")
        try:
            yield
        finally:
            note.write_text(told, "ascii")
            self.gate.switch = before

    def recover(self, *, seconds: float = 6.0) -> None:
        """Let time pass and the shop do its housekeeping until nothing is owed an answer."""
        self.gate.open_again()
        for _ in range(20):
            self.stand.clock.move_on(seconds)
            self.shop.sweep()
            recent = self.shop.payments.recent(30)
            waiting = (PaymentState.UNKNOWN, PaymentState.PENDING)
            if not any(payment.state in waiting for payment in recent):
                return
            time.sleep(0.05)


@contextmanager
def open_rig(serve_pages: ServePages, *, in_process: bool = False) -> Iterator[Rig]:
    """Set a rig up in a scratch home and take it down again.

    With `in_process` the switch is a thread, so that a test can take its defences out.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="checkout-rig-")))
        config = Config(home=home, clearing_timeout_s=TIMEOUT_S, reversal_retry_s=0.0)
        clock = RunningClock(datetime.now(UTC))
        make_card(DEFAULT_PAYER, home)
        engine = open_engine(config.database_url)
        stack.callback(engine.dispose)
        prepare_tables(engine, clock())
        switch = SwitchThread(config, clock) if in_process else SwitchProcess(config)
        stack.callback(switch.stop)
        switch.start()
        gate = Gate(lambda: find(home, config.database_url))
        stack.callback(gate.close)
        client = client_of(config, lambda: gate.address, clock=clock)
        stack.callback(client.close)
        shop = Shop(config, engine, clearing=lambda: client, clock=clock, payers=DemoPayers())
        stack.callback(shop.close)
        stand = Stand(
            config=config,
            clock=clock,
            shop=shop,
            client=client,
            terminal=terminal.load(home, clock=clock),
            reader=EmulatedReader(home, shared_service(lambda: client)),
            origin=stack.enter_context(serve_pages(shop)),
            database_url=config.database_url,
        )
        stack.callback(lambda: stand.reader.close())
        books = Books(config.database_url)
        stack.callback(books.close)
        yield Rig(stand=stand, serve_pages=serve_pages, gate=gate, switch=switch, books=books)


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
class Scene:
    """One cell while it is played: the order, and what each side sees."""

    rig: Rig
    name: str
    mode: CellMode
    order: Order
    payer: str = DEFAULT_PAYER
    origin: str | None = None  # of another process that serves the shop
    payer_saw: list[str] = field(default_factory=list)
    shop_saw: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def pay(self, **how: object) -> Tried:
        """One try by this scene's mode; what payer and shop see of it is noted."""
        self.order = self.rig.live(self.order)
        stand, given = self.rig.stand, (self.order, self.payer)
        if self.mode == "nfc":
            tried = tap_and_pay(stand, *given, **how)  # type: ignore[arg-type]
        elif self.mode == "qr":
            tried = scan_and_pay(stand, *given, origin=self.origin, **how)  # type: ignore[arg-type]
        else:
            if self.origin is None:  # another process has a clock that nobody moves
                self.rig.new_code(self.payer)
            tried = present_and_pay(stand, *given, origin=self.origin, **how)  # type: ignore[arg-type]
        self.saw(tried)
        return tried

    def pay_again(self) -> None:
        """Another try, if the order still waits to be paid."""
        if self.rig.shop.orders.get(self.order.id).state is OrderState.OPEN:
            self.pay()

    def beside(self, amount_minor: int) -> Scene:
        """Another order of the same payer's, by the same mode."""
        order = self.rig.order(amount_minor)
        return Scene(rig=self.rig, name=self.name, mode=self.mode, order=order, payer=self.payer)

    def saw(self, tried: Tried) -> None:
        """Note what both sides see of a try."""
        self.payer_saw.append(tried.payer_saw)
        state = "" if tried.payment is None else str(tried.payment.state)
        self.shop_saw.append(tried.taken or state or tried.refused)

    def conclude(self, verdict: Verdict | None = None) -> Cell:
        """Let everything settle, then say who holds the money; the books decide."""
        self.rig.gate.forget()
        self.rig.recover()
        order = self.rig.shop.orders.get(self.order.id)
        payments = self.rig.shop.payments.of_order(order.id)
        held = self.rig.held(payments)
        paid = order.state is OrderState.PAID
        repaired = any(payment.state is PaymentState.REVERSED for payment in payments)
        self.shop_saw.append(f"order {order.state}")
        lost = order.amount_minor if bool(held) != paid else 0
        return Cell(
            name=self.name,
            mode=self.mode,
            verdict=verdict or ("repaired" if repaired else "safe"),
            payer_saw=_told(self.payer_saw),
            shop_saw=_told(self.shop_saw),
            holds=_holder(len(held)),
            money_lost_minor=lost,
            taken_twice_minor=max(0, len(held) - 1) * order.amount_minor,
            took_ms=(time.perf_counter() - self.began) * 1000,
        )


def _holder(count: int) -> str:
    return {0: "the payer", 1: "the shop, once"}.get(count, f"the shop, {count} times")


def _told(texts: list[str]) -> str:
    """One after the other; what is seen again and again is said once."""
    counted = [(text, len(list(same))) for text, same in groupby(map(_short, texts))]
    return ", then ".join(f"{text} ({n} times)" if n > 1 else text for text, n in counted)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    if len(plain) <= _LONGEST_TOLD:
        return plain
    return plain[: _LONGEST_TOLD - 2].rsplit(" ", 1)[0] + " ..."
