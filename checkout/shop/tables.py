"""The shop's own tables: orders, their codes, attempts to pay them, events, the reader's state.

The clearing backend's tables are its own (`checkout.clearing.store`); only its switch writes them.
Instants are integer microseconds since the epoch, UTC: they sort, and survive every engine.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.exc import DBAPIError

#: More tries than there are tables that another process could create first.
_TRIES = 50

metadata = MetaData()

orders = Table(
    "shop_orders",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("reference", String(64), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("state", String(24), nullable=False),
    Column("preauthorise", Boolean, nullable=False),
    Column("static_code", String(32)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("payment_id", String(32)),  # that holds it, later that paid it
    Column("captured_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Index("shop_orders_by_state", "state", "expires_at"),
)

codes = Table(
    "shop_codes",
    metadata,
    Column("code", String(32), primary_key=True),
    Column("order_id", ForeignKey("shop_orders.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_by", String(32)),
)

static_codes = Table(
    "shop_static_codes",
    metadata,
    Column("code", String(32), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # printed on the sticker
    Column("label", String(25), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount_minor", BigInteger),  # none where the payer types it
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

#: Codes that payers' phones showed and the counter scanned (`checkout.shop.payments.payer_codes`).
presented = Table(
    "shop_presented",
    metadata,
    Column("digits", String(19), primary_key=True),  # good once
    Column("payment_id", String(32), nullable=False, unique=True),
    Column("payer", String(64), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("queries", Integer, nullable=False),
    Column("due_at", BigInteger, index=True),  # of the next query, while a PIN is waited for
)

payments = Table(
    "shop_payments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("order_id", ForeignKey("shop_orders.id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),  # sale, refund, capture
    Column("mode", String(4), nullable=False),
    Column("scheme", String(24), nullable=False),
    Column("state", String(16), nullable=False),
    Column("payer", String(64)),
    Column("amount_minor", BigInteger, nullable=False),
    Column("response_code", String(2)),
    Column("approval_code", String(6)),
    Column("rrn", String(12), nullable=False),
    Column("pan", String(24), nullable=False),
    Column("emulated", Boolean, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("total_us", BigInteger),
    Column("modelled_us", BigInteger, nullable=False),
    Column("steps", Text, nullable=False),
    Column("sealed_request", LargeBinary),  # what a reversal or refund repeats, encrypted
    Column("reversal_attempts", Integer, nullable=False),
    Column("reversal_due_at", BigInteger, index=True),
)

#: Balances that payers brought into their wallets (`checkout.shop.payments.top_ups`).
top_ups = Table(
    "shop_top_ups",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("payer", String(64), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("state", String(16), nullable=False),
    Column("response_code", String(2)),
    Column("rrn", String(12), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, index=True),  # of the next reversal, while it is not answered
    Column("sealed_request", LargeBinary, nullable=False),
    Index("shop_top_ups_by_payer", "payer", "started_at"),
)

#: Payments that hold their order while their payer types a PIN (`payments/pin_entry.py`).
waiting = Table(
    "shop_waiting",
    metadata,
    Column("payment_id", String(32), primary_key=True),
    Column("order_id", String(32), nullable=False, index=True),
    Column("place", String(16), nullable=False),  # where it is typed: counter, phone
    Column("sealed_request", LargeBinary, nullable=False),  # what will be asked, encrypted
    Column("began_at", BigInteger, nullable=False),  # when the payment's first step began
    Column("held_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("taken_at", BigInteger),  # when a process went on with it; none while it waits
)

events = Table(
    "shop_events",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("order_id", String(32)),
    Column("kind", String(24), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Index("shop_events_by_order", "order_id", "n"),
)

numbers = Table(
    "shop_numbers",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

reader_status = Table(
    "shop_reader",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(120), nullable=False),
    Column("state", String(24), nullable=False),
    Column("message", String(400), nullable=False),
    Column("emulated", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False),
)

reader_requests = Table(
    "shop_reader_requests",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("card", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("taken", Boolean, nullable=False),
)


def create_tables(engine: Engine, tables: MetaData = metadata) -> None:
    """Create the tables that are missing; safe when several processes start at once."""
    for left in reversed(range(_TRIES)):
        try:
            tables.create_all(engine, checkfirst=True)
        except DBAPIError:
            # Another process created one of them between the check and the statement: check again.
            if not left:
                raise
        else:
            return
