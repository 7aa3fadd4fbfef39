"""The shop put together: its orders, payments, events and reader over one database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from checkout.acceptance.contract import Mode
from checkout.acceptance.qr.payer_code import PayerCodes
from checkout.acceptance.qr.signed_payload import dynamic_payload
from checkout.clearing.client.client import DEFAULT_PARTICIPANT, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.clearing.queries import ClearingReader
from checkout.config import Config, make_home
from checkout.database import open_engine
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import Feed
from checkout.shop.orders.milestones import Milestones
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Clock, Order
from checkout.shop.payments.authorisation import Authorisation
from checkout.shop.payments.disputes import DisputedOrders
from checkout.shop.payments.enrolment import Enrolment
from checkout.shop.payments.pay_by_code import CodePayments
from checkout.shop.payments.pay_by_tap import TapPayments
from checkout.shop.payments.payer_codes import PayerCodePayments
from checkout.shop.payments.payers import Payers
from checkout.shop.payments.payments import PaymentRecords
from checkout.shop.payments.pin_entry import PinEntry
from checkout.shop.payments.query_schedule import QuerySchedule
from checkout.shop.payments.refunds import Refunds
from checkout.shop.payments.repeats import GRACE_S
from checkout.shop.payments.reversals import Reversals
from checkout.shop.payments.stickers import StaticCodes
from checkout.shop.payments.top_ups import TopUps
from checkout.shop.reader_status import CounterReader
from checkout.shop.sealed_database import open_seal
from checkout.shop.webhooks.deliveries import Deliveries
from checkout.shop.webhooks.endpoints import Endpoints

WALLET_OPERATOR = "wallet-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Where the shop's events are sent, and what was sent there."""

    endpoints: Endpoints
    deliveries: Deliveries


class Shop:
    """Everything that pages, API and commands call; one per process, safe for many threads.

    `clearing` and `operator` give the lines to the switch: the acquirer's, and the wallet
    operator's. `payers` are those whose accounts the simulated banks know.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        *,
        payers: Payers,
        clearing: Callable[[], SwitchClient],
        operator: Callable[[], SwitchClient] | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.engine = engine
        self.payers = payers
        self.clearing = clearing
        self.seal = open_seal(config.home, engine)
        #: The secret under which this shop's EMV codes are signed.
        self.code_key = self.seal.derive("emv codes")
        self.feed = Feed(engine, heartbeat_s=config.heartbeat_s)
        self.reader = CounterReader(engine, clock)
        self.webhooks = Webhooks(
            endpoints=Endpoints(engine, seal=self.seal, clock=clock),
            deliveries=Deliveries(engine, clock=clock),
        )
        self.milestones = Milestones(engine, clock)
        self.books = ClearingReader(engine)
        self.disputes = DisputedOrders(engine, self.books, clock)
        self.orders = Orders(
            engine,
            clock=clock,
            order_ttl_s=config.order_ttl_s,
            code_ttl_s=config.code_ttl_s,
            order_limit_minor=config.order_limit_minor,
        )
        self.payments = PaymentRecords(engine, clock)
        self._wire_payments()
        #: The wallet operator's server, not the shop's: its phone pages are served here too.
        self.top_ups = TopUps(
            engine,
            operator=operator or clearing,
            payers=payers,
            numbers=self.payments.numbers,
            seal=self.seal,
            clock=clock,
            timeout_s=config.clearing_timeout_s,
            retry_s=config.reversal_retry_s,
        )
        self._to_close: list[Callable[[], None]] = []

    def _wire_payments(self) -> None:
        """Each part from those before it."""
        payments, orders, config = self.payments, self.orders, self.config
        clearing, seal, timeout_s = self.clearing, self.seal, config.clearing_timeout_s
        reversals = Reversals(
            payments,
            clearing=clearing,
            seal=seal,
            timeout_s=timeout_s,
            retry_s=config.reversal_retry_s,
        )
        authorisation = Authorisation(
            payments, orders, reversals, clearing=clearing, seal=seal, timeout_s=timeout_s
        )
        pin_entry = PinEntry(
            payments,
            orders,
            authorisation,
            clearing=clearing,
            seal=seal,
            abandoned_after_s=timeout_s + GRACE_S,
        )
        refunds = Refunds(
            payments, orders, reversals, clearing=clearing, seal=seal, timeout_s=timeout_s
        )
        code_payments = CodePayments(orders, authorisation, self.payers, merchant=config.merchant)
        self.reversals, self.authorisation, self.pin_entry = reversals, authorisation, pin_entry
        self.refunds, self.code_payments = refunds, code_payments
        self.tap_payments = TapPayments(authorisation, pin_entry, merchant=config.merchant)
        self.payer_codes = PayerCodePayments(
            payments,
            orders,
            authorisation,
            pin_entry,
            code_payments,
            refunds,
            codes=PayerCodes(
                seal.derive("payer codes"),
                [payer.name for payer in self.payers.all() if Mode.QR in payer.modes],
            ),
            payers=self.payers,
            no_pin_minor=config.payer_code_no_pin_minor,
            schedule=QuerySchedule(wait_at_most_s=config.payer_wait_s),
        )
        self.static_codes = StaticCodes(self.engine, orders, code_payments, self.milestones)
        self.enrolment = Enrolment(payments, clearing=clearing, seal=seal, books=self.books)

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        payers: Payers,
        own_switch: bool = False,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> Shop:
        """Open database and keys, joining the running switch on first use.

        With `own_switch` one is started in this process where none runs. Raises DatabaseError or
        KeyLost.
        """
        make_home(config.home)
        engine = open_engine(config.database_url)
        prepare_tables(engine, clock())
        clients = _Clients(config, own_switch=own_switch, clock=clock)
        shop = cls(
            config,
            engine,
            payers=payers,
            clearing=lambda: clients.of(DEFAULT_PARTICIPANT),
            operator=lambda: clients.of(WALLET_OPERATOR),
            clock=clock,
        )
        shop._to_close = [shop.feed.close, clients.close, engine.dispose]
        return shop

    def cancel(self, order_id: str) -> Order:
        """Close an order that nobody has paid, and the wait for a PIN that may hold it.

        ShopError(order-not-open) where its bank is being asked or has answered, (too-soon) where
        a phone has not had its 15 s yet.
        """
        wait = self.pin_entry.of_order(self.orders.get(order_id).id)
        if wait is not None:
            if wait.place == "phone":
                self.payer_codes.check_revocable(wait.payment_id)
            try:
                self.pin_entry.cancel(wait.payment_id, with_order=True)
            except ShopError as error:
                if error.kind != "not-waiting":
                    raise
            else:
                return self.orders.get(order_id)
        self.pin_entry.expire_due()  # a wait that has run out holds no order
        return self.orders.cancel(order_id)

    def sweep(self) -> int:
        """Expire orders and waits that have run out, query phones, repeat what was not answered.

        The terminal process calls it often. Returns how many payments were settled now.
        """
        self.orders.expire_due()
        self.pin_entry.expire_due()
        self.payer_codes.sweep()
        return self.reversals.repeat_due()

    def emv_payload(self, order: Order) -> str:
        """The order's present code as an EMV merchant-presented payload, proof against change."""
        return dynamic_payload(
            merchant=self.config.merchant,
            code=order.code,
            amount=order.amount,
            key=self.code_key,
            reference=order.reference,
        )

    def close(self) -> None:
        """Close feed, lines and database; safe to call twice."""
        while self._to_close:
            self._to_close.pop(0)()


class _Clients:
    """The lines to the switch, one per participant, each opened when first needed."""

    def __init__(self, config: Config, *, own_switch: bool, clock: Clock) -> None:
        self._config = config
        self._own_switch = own_switch
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[str, SwitchClient] = {}

    def of(self, participant: str) -> SwitchClient:
        """The participant's client."""
        with self._lock:
            if participant not in self._clients:
                self._clients[participant] = open_client(
                    self._config.home,
                    self._config.database_url,
                    start=self._own_switch,
                    clock=self._clock,
                    participant=participant,
                )
            return self._clients[participant]

    def close(self) -> None:
        """Close every client."""
        with self._lock:
            while self._clients:
                self._clients.popitem()[1].close()


def prepare_tables(engine: Engine, now: datetime) -> None:
    """Create the shop's tables, and insert their single rows, where they are missing."""
    tables.create_tables(engine)
    status = {"id": 1, "name": "", "state": "none", "message": "", "emulated": False, "at": 0}
    for table, row in (
        (tables.numbers, {"name": "stan", "value": now.toordinal() % 1000 * 7}),
        (tables.reader_status, status),
    ):
        key = next(iter(table.primary_key.columns))
        with engine.connect() as connection:
            if connection.execute(select(table).where(key == row[key.name])).first():
                continue
        try:
            with engine.begin() as connection:
                connection.execute(insert(table), row)
        except IntegrityError:
            continue  # another process was faster
