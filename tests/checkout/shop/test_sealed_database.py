"""A database opens with the key that encrypted its rows, and with no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update

from checkout.config import Config
from checkout.database import open_engine
from checkout.demo.payers import DemoPayers
from checkout.encryption import KeyLost, Seal, shop_key_file
from checkout.shop import tables
from checkout.shop.sealed_database import open_seal
from checkout.shop.shop import Shop, prepare_tables


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(tmp_path / "checkout.db")
    prepare_tables(opened, datetime.now(UTC))
    yield opened
    opened.dispose()


def forget_check_value(engine: Engine) -> None:
    """Make the database what it was before check values were recorded."""
    with engine.begin() as connection:
        connection.execute(delete(tables.numbers).where(tables.numbers.c.name != "stan"))


def test_the_same_key_opens_it_again(tmp_path: Path, engine: Engine) -> None:
    sealed = open_seal(tmp_path, engine).close(b"a refund")
    assert open_seal(tmp_path, engine).open(sealed) == b"a refund"


def test_a_missing_key_is_not_replaced(tmp_path: Path, engine: Engine) -> None:
    open_seal(tmp_path, engine)
    shop_key_file(tmp_path).unlink()
    with pytest.raises(KeyLost, match=r"shop\.key: this file is missing"):
        open_seal(tmp_path, engine)
    assert not shop_key_file(tmp_path).exists()


def test_the_key_of_another_home_is_refused(tmp_path: Path, engine: Engine) -> None:
    open_seal(tmp_path, engine)
    with pytest.raises(KeyLost, match=r"shop\.key: this file is missing"):
        open_seal(tmp_path / "other", engine)
    Seal(tmp_path / "other")
    with pytest.raises(KeyLost, match=r"shop\.key: this is another key"):
        open_seal(tmp_path / "other", engine)


def test_rows_hold_a_database_without_a_check_value_to_their_key(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    shop = Shop.open(config, payers=DemoPayers(), own_switch=True)
    try:
        order = shop.orders.create(amount_minor=100)
        payer = shop.payers.named("unionpay-debit")
        shop.code_payments.pay_order(order.id, payer, pin="123456", kind="dynamic")
        forget_check_value(shop.engine)
        key = shop_key_file(tmp_path).read_bytes()
        shop_key_file(tmp_path).unlink()
        with pytest.raises(KeyLost, match="missing"):
            open_seal(tmp_path, shop.engine)
        Seal(tmp_path)
        with pytest.raises(KeyLost, match="another key"):
            open_seal(tmp_path, shop.engine)
        shop_key_file(tmp_path).write_bytes(key)
        open_seal(tmp_path, shop.engine)
        forget_check_value(shop.engine)
        with shop.engine.begin() as connection:
            connection.execute(update(tables.payments).values(sealed_request=None))
        shop_key_file(tmp_path).unlink()
        open_seal(tmp_path, shop.engine)  # nothing is lost: a new key will do
    finally:
        shop.close()


def test_a_file_that_holds_no_key_is_named(tmp_path: Path, engine: Engine) -> None:
    open_seal(tmp_path, engine)
    shop_key_file(tmp_path).write_bytes(b"")
    with pytest.raises(KeyLost, match=r"shop\.key: this file holds no key"):
        open_seal(tmp_path, engine)


def test_many_that_open_a_new_database_at_once_agree(tmp_path: Path, engine: Engine) -> None:
    opened: list[int] = []
    threads = [
        threading.Thread(target=lambda: opened.append(open_seal(tmp_path, engine).check_value()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    assert len(set(opened)) == 1
