"""The outbox's tables, among the shop's own: endpoints, messages, deliveries and their attempts.

A message is made once from one committed event of the shop; a delivery is that message for one
endpoint. Instants are integer microseconds since the epoch, as in `checkout.shop.tables`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from checkout.shop.tables import metadata

URL_LENGTH = 500
ANSWER_LENGTH = 300

endpoints = Table(
    "shop_webhook_endpoints",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", String(URL_LENGTH), nullable=False, unique=True),
    Column("events", Text),  # JSON list of event types; none for all of them
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("sealed_old_secret", LargeBinary),
    Column("old_secret_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("since_n", Integer, nullable=False),  # only what happens after this event is sent
    Column("disabled_at", BigInteger),
    Column("disabled_why", String(120)),
)

messages = Table(
    "shop_webhook_messages",
    metadata,
    Column("id", String(32), primary_key=True),  # by it a receiver recognises a repeated event
    Column("event_n", Integer, nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("order_id", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the bytes that are signed and sent
)

deliveries = Table(
    "shop_webhook_deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("message_id", ForeignKey("shop_webhook_messages.id"), nullable=False),
    Column(
        "endpoint_id",
        ForeignKey("shop_webhook_endpoints.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),  # since it was last made due by hand
    Column("next_at", BigInteger),  # of the next try; of one under way: when it counts as lost
    Column("created_at", BigInteger, nullable=False, index=True),
    UniqueConstraint("message_id", "endpoint_id"),
    Index("shop_webhook_deliveries_due", "state", "next_at"),
    Index("shop_webhook_deliveries_of", "endpoint_id", "state", "next_at"),
)

attempts = Table(
    "shop_webhook_attempts",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column(
        "delivery_id",
        ForeignKey("shop_webhook_deliveries.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", BigInteger, nullable=False),
    Column("took_us", BigInteger, nullable=False),
    Column("status", Integer),  # none where no HTTP answer came
    Column("reason", String(200), nullable=False),
    Column("said", String(ANSWER_LENGTH), nullable=False),  # the beginning of the answer's body
)
