"""The shop put together: its orders, payments, events and reader over one database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from checkout.acceptance.qr.signed_payload import dynamic_payload
from checkout.clearing.client.client import DEFAULT_PARTICIPANT, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.clearing.queries import ClearingReader
from checkout.config import Config, make_home
from checkout.database import open_engine
from checkout.demo.payers import Payer, payers
from checkout.encryption import Seal
from checkout.shop import tables
from checkout.shop.orders.events import Feed
from checkout.shop.orders.milestones import Moments
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Clock, Order
from checkout.shop.payments.disputes import DisputedOrders
from checkout.shop.payments.enrolment import Enrolment
from checkout.shop.payments.pay_by_code import Payment, Payments
from checkout.shop.payments.payer_codes import UserPaying
from checkout.shop.payments.query_schedule import Rhythm
from checkout.shop.payments.stickers import StaticCodes
from checkout.shop.payments.top_ups import TopUps
from checkout.shop.reader_status import ReaderDesk
from checkout.shop.webhooks.endpoints import Webhooks

WALLET_OPERATOR = "wallet-operator"


class Shop:
    """Everything that pages, API and commands call; one per process."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        *,
        clearing: Callable[[], SwitchClient],
        operator: Callable[[], SwitchClient] | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.engine = engine
        self.clearing = clearing
        self.seal = Seal(config.home)
        self.orders = Orders(
            engine,
            clock=clock,
            order_ttl_s=config.order_ttl_s,
            code_ttl_s=config.code_ttl_s,
            order_limit_minor=config.order_limit_minor,
        )
        self.payments = Payments(
            engine,
            self.orders,
            clearing=clearing,
            seal=self.seal,
            merchant=config.merchant,
            clearing_timeout_s=config.clearing_timeout_s,
            retry_s=config.reversal_retry_s,
            no_pin_minor=config.payer_code_no_pin_minor,
            rhythm=Rhythm(wait_at_most_s=config.payer_wait_s),
        )
        #: Not the shop's at all, but the wallet operator's, whose phone pages are served here too.
        self.top_ups = TopUps(
            engine,
            operator=operator or clearing,
            numbers=self.payments.records.numbers,
            seal=self.seal,
            clock=clock,
            timeout_s=config.clearing_timeout_s,
            retry_s=config.reversal_retry_s,
        )
        #: What payers show and the counter scans.
        self.presented = self.payments.presented
        self.static_codes = StaticCodes(engine, self.orders, self.payments)
        #: The secret that vouches for this shop's EMV codes.
        self.code_key = self.seal.derive("emv codes")
        self.feed = Feed(engine, heartbeat_s=config.heartbeat_s)
        self.terminal = ReaderDesk(engine, clock)
        self.webhooks = Webhooks(engine, seal=self.seal, clock=clock)
        self.moments = Moments(engine, clock)
        self.books = ClearingReader(engine)
        self.disputed = DisputedOrders(engine, clock)
        self.enrolment = Enrolment(
            self.payments.records, clearing=clearing, seal=self.seal, books=self.books
        )
        self._close: list[Callable[[], None]] = []

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        own_switch: bool = False,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> Shop:
        """Open database and keys, joining the running switch on first use.

        With `own_switch` one is started in this process where none runs. Raises DatabaseError.
        """
        make_home(config.home)
        engine = open_engine(config.database_url)
        prepare_tables(engine, clock())
        lock = threading.Lock()
        kept: dict[str, SwitchClient] = {}

        def client_of(participant: str) -> SwitchClient:
            with lock:
                if participant not in kept:
                    kept[participant] = open_client(
                        config.home,
                        config.database_url,
                        start=own_switch,
                        clock=clock,
                        participant=participant,
                    )
                return kept[participant]

        def close() -> None:
            with lock:
                while kept:
                    kept.popitem()[1].close()

        shop = cls(
            config,
            engine,
            clearing=lambda: client_of(DEFAULT_PARTICIPANT),
            operator=lambda: client_of(WALLET_OPERATOR),
            clock=clock,
        )
        shop._close = [shop.feed.close, close, engine.dispose]
        return shop

    def emv_payload(self, order: Order) -> str:
        """The order's present code as an EMV merchant-presented payload, proof against change."""
        return dynamic_payload(
            merchant=self.config.merchant,
            code=order.code,
            amount=order.amount,
            key=self.code_key,
            reference=order.reference,
        )

    def present(self, order_id: str, text: str, *, emulated: bool = False) -> Payment | UserPaying:
        """Pay an order by what the counter scanned from a payer's phone."""
        return self.presented.present(order_id, text, emulated=emulated)

    def payers(self) -> tuple[Payer, ...]:
        """The demo's cards, phones and wallets."""
        return payers()

    def close(self) -> None:
        """Give everything back; safe to call twice."""
        while self._close:
            self._close.pop(0)()


def prepare_tables(engine: Engine, now: datetime) -> None:
    """Make the shop's tables and their single rows where they are missing."""
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
