"""Events reach every process that watches, in order, once, whichever process wrote them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from checkout.database import open_engine
from checkout.shop.orders.events import Event, Feed, add_event
from checkout.shop.orders.orders import Orders
from checkout.shop.shop import prepare_tables


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'checkout.db'}")
    prepare_tables(engine, datetime.now(UTC))
    yield engine
    engine.dispose()


@pytest.fixture
def feed(engine: Engine) -> Iterator[Feed]:
    feed = Feed(engine, heartbeat_s=0.2)
    yield feed
    feed.close()


def take(stream: Iterator[Event | None], count: int) -> list[str]:
    kinds: list[str] = []
    deadline = time.monotonic() + 10
    for event in stream:
        if event is not None:
            kinds.append(event.kind)
        if len(kinds) == count or time.monotonic() > deadline:
            break
    return kinds


def test_a_subscriber_hears_its_own_order_only(engine: Engine, feed: Feed) -> None:
    orders = Orders(engine)
    mine, other = orders.create(amount_minor=1), orders.create(amount_minor=2)
    subscription = feed.subscribe(mine.id)
    orders.cancel(other.id)
    orders.renew_code(mine.id)
    orders.cancel(mine.id)
    assert take(iter(subscription), 2) == ["code-renewed", "order-cancelled"]


def test_what_happened_while_away_is_replayed_once(engine: Engine, feed: Feed) -> None:
    orders = Orders(engine)
    order = orders.create(amount_minor=1)
    subscription = feed.subscribe(order.id, after=0)
    orders.cancel(order.id)
    assert take(iter(subscription), 2) == ["order-created", "order-cancelled"]


def test_silence_is_broken_by_heartbeats(feed: Feed) -> None:
    assert next(iter(feed.subscribe())) is None


def test_an_event_of_another_process_arrives(engine: Engine, feed: Feed) -> None:
    orders = Orders(engine)
    order = orders.create(amount_minor=1)
    subscription = feed.subscribe(order.id)
    script = (
        "import sys\n"
        "from checkout.database import open_engine\n"
        "from checkout.shop.orders.orders import Orders\n"
        "Orders(open_engine(sys.argv[1])).cancel(sys.argv[2])\n"
    )
    url = str(engine.url)
    subprocess.run([sys.executable, "-c", script, url, order.id], check=True, timeout=60)
    assert take(iter(subscription), 1) == ["order-cancelled"]


def test_closing_ends_a_stream_that_waits(feed: Feed) -> None:
    subscription = feed.subscribe()
    ended = threading.Event()

    def drain() -> None:
        for _ in subscription:
            pass
        ended.set()

    threading.Thread(target=drain, daemon=True).start()
    feed.close()
    assert ended.wait(5)


def test_however_far_behind_a_reader_is_it_gets_every_event_once_and_in_order(
    engine: Engine, feed: Feed
) -> None:
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for number in range(2500):
            add_event(connection, now, "reader-state" if number % 2 else "other", None, n=number)
            add_event(connection, now, "elsewhere", f"order-{number}")
    subscription = feed.subscribe("mine", after=0)
    with engine.begin() as connection:
        add_event(connection, now, "late", "mine", n=2500)
    seen: list[Event] = []
    for event in subscription:
        if event is None:
            break
        seen.append(event)
    assert [event.payload["n"] for event in seen] == list(range(2501))
    assert [event.n for event in seen] == sorted({event.n for event in seen})
