"""The close of the day through the switch: both houses, every currency, once."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any

import pytest

from checkout.clearing.client.client import OperationFailed
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.messages import TransactionType
from checkout.clearing.settlement import end_of_day, netting_engine
from checkout.clearing.settlement.netting import DayClose, SettledPayment, close_day
from tests.checkout.clearing.network import CREDIT, DEBIT, PIN, QUICK, VISA, WALLET, Network

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
_T = TransactionType
DAY = date(2026, 3, 2)


def _settle(network: Network, **given: Any) -> dict[str, Any]:
    network.client.operate("settle", given)
    report = network.reader.settlement(date.fromisoformat(given.get("date", DAY.isoformat())))
    assert report is not None
    return report


def _a_days_business(network: Network) -> None:
    for account in (DEBIT, CREDIT, VISA):
        network.code(network.request(account, 12_345))
    network.code(network.request(DEBIT, 1000, currency="JPY"))
    for account in (WALLET, QUICK):
        block = network.client.encrypt_pin(PIN, account)
        network.code(network.request(account, 5_000, pin_block=block))
    sale = network.request(DEBIT, 9_999)
    network.code(sale)
    network.code(network.follow(sale, _T.REFUND, 3_333))
    undone = network.request(DEBIT, 777)
    network.code(undone)
    network.client.reverse(undone)
    network.code(network.request(amount=1000, transaction_type=_T.PREAUTHORISATION))


def test_positions_of_both_houses_add_up_to_zero_in_every_currency(network: Network) -> None:
    _a_days_business(network)
    report = _settle(network)
    sums: dict[tuple[str, str], int] = {}
    for one in report["positions"]:
        key = (one["house"], one["currency"])
        sums[key] = sums.get(key, 0) + one["net_minor"]
    assert {currency for _, currency in sums} == {"CNY", "JPY", "USD"}
    assert {house for house, _ in sums} == {"four-party", "three-party"}
    assert set(sums.values()) == {0}
    abroad = [one for one in report["positions"] if one["participant"] == "bank-abroad-v"]
    assert [one["currency"] for one in abroad] == ["USD"]


def test_after_the_close_positions_and_merchants_are_squared(network: Network) -> None:
    _a_days_business(network)
    report = _settle(network)
    for account in network.reader.accounts():
        if account.name.startswith(("position/", "merchant/")):
            assert account.balance.posted == 0, account.name
            assert account.balance.debits_pending == account.balance.credits_pending == 0
    payouts = {one.name: one.balance.posted for one in network.reader.accounts("payout/")}
    for one in report["merchants"]:
        assert one["payout_minor"] == one["sales_minor"] - one["returns_minor"] - one["fees_minor"]
    assert sum(payouts.values()) == sum(one["payout_minor"] for one in report["merchants"])
    network.reader.trial_balance()


def test_large_day_is_netted_inside_the_engine_to_the_same_figures(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb")
    monkeypatch.setattr(end_of_day, "LARGE_DAY", 1)
    engine, read, closes = netting_engine.close_day, netting_engine.rated_rows, []

    def both(payments: Iterable[SettledPayment]) -> object:
        rows = list(payments)
        closes.append(close_day(rows))
        return read(rows)

    def recorded(rated: object) -> DayClose:
        closes.append(engine(rated))
        return closes[-1]

    monkeypatch.setattr(netting_engine, "rated_rows", both)
    monkeypatch.setattr(netting_engine, "close_day", recorded)
    _a_days_business(network)
    report = _settle(network)
    in_python, in_engine = closes
    assert in_python == in_engine and in_python.positions and in_python.statements
    assert len(report["positions"]) == len(in_engine.positions)


@pytest.mark.parametrize(("large", "installed"), [(1, False), (1_000_000, True)])
def test_day_is_netted_in_python_when_it_is_small_or_the_extra_is_missing(
    network: Network, monkeypatch: pytest.MonkeyPatch, large: int, installed: bool
) -> None:
    monkeypatch.setattr(end_of_day, "LARGE_DAY", large)
    monkeypatch.setattr(netting_engine, "is_installed", lambda: installed)
    monkeypatch.setattr(netting_engine, "rated_rows", lambda _: pytest.fail("in the engine"))
    _a_days_business(network)
    assert _settle(network)["positions"]


def test_closing_twice_changes_nothing(network: Network) -> None:
    _a_days_business(network)
    first = network.client.operate("settle")
    entries, balances = network.reader.entries(), network.reader.accounts()
    second = network.client.operate("settle", {"date": DAY.isoformat()})
    assert (first["closed_before"], second["closed_before"]) == (False, True)
    assert first["positions"] == second["positions"]
    assert network.reader.entries() == entries
    assert network.reader.accounts() == balances


def test_hold_stays_pending_over_the_close(network: Network) -> None:
    hold = network.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    network.code(hold)
    _settle(network)
    assert {one.status for one in network.reader.postings(hold.rrn)} == {Status.PENDING}
    assert network.code(network.follow(hold, _T.COMPLETION, 900)) == "00"


def test_cut_off_is_at_23_in_shanghai(network: Network) -> None:
    network.clock.set_to(datetime(2026, 3, 2, 14, 59, 30, tzinfo=UTC))
    before = network.ask(network.request()).response
    network.clock.set_to(datetime(2026, 3, 2, 15, 0, 0, tzinfo=UTC))
    after = network.ask(network.request()).response
    assert (before.settlement_date, after.settlement_date) == (DAY, date(2026, 3, 3))
    assert _settle(network, date="2026-03-02")["posted"] == 1
    assert _settle(network, date="2026-03-03")["posted"] == 1


def test_what_comes_after_an_early_close_takes_the_next_date(network: Network) -> None:
    network.code(network.request())
    _settle(network)
    response = network.ask(network.request()).response
    assert response.settlement_date == date(2026, 3, 3)


def test_posted_sale_is_refunded_reversed_and_netted_on_a_later_day(network: Network) -> None:
    before = network.available()
    sale, other = network.request(amount=5000), network.request(amount=700)
    network.code(sale)
    network.code(other)
    _settle(network)
    network.clock.set_to(datetime(2026, 3, 3, 4, 0, tzinfo=UTC))
    assert network.code(network.follow(sale, _T.VOID)) == "12"
    assert network.code(network.follow(sale, _T.REFUND)) == "00"
    for _ in range(2):
        assert network.client.reverse(other).response.response_code == "00"
    report = _settle(network, date="2026-03-03")
    (merchant,) = report["merchants"]
    assert (merchant["sales_minor"], merchant["returns_minor"]) == (0, 5700)
    assert network.available() == before
    assert all(one.balance.posted == 0 for one in network.reader.accounts("income/"))


def test_day_to_come_and_day_passed_over_are_refused(network: Network) -> None:
    with pytest.raises(OperationFailed, match="has not begun"):
        network.client.operate("settle", {"date": "2026-03-03"})
    _settle(network)
    with pytest.raises(OperationFailed, match="passed over"):
        network.client.operate("settle", {"date": "2026-03-01"})
    with pytest.raises(OperationFailed, match="settle"):
        network.client.operate("settle", {"date": "yesterday"})


def test_files_of_the_day_add_up_and_are_for_this_user_only(network: Network) -> None:
    _a_days_business(network)
    report = _settle(network)
    folder = network.home / "settlements" / "2026-03-02"
    names = {path.name for path in folder.iterdir()}
    assert {"positions.csv", "merchants.csv", "participant-lane-bank.csv"} <= names
    lines = (folder / "positions.csv").read_text().splitlines()
    assert len(lines) == 1 + len(report["positions"])
    assert folder.parent.stat().st_mode & 0o077 == 0
    with (folder / "participant-lane-bank.csv").open(newline="") as opened:
        legs = list(csv.DictReader(opened))
    told = {
        one["house"]: one["net_minor"]
        for one in report["positions"]
        if one["participant"] == "lane-bank" and one["currency"] == "CNY"
    }
    for house, net_minor in told.items():
        found = [one for one in legs if (one["house"], one["currency"]) == (house, "CNY")]
        assert sum(int(one["amount_minor"]) for one in found) == net_minor


def test_folder_that_cannot_be_written_leaves_the_day_open(network: Network) -> None:
    network.code(network.request())
    (network.home / "settlements").write_text("in the way")
    with pytest.raises(OperationFailed, match="settle"):
        network.client.operate("settle")
    assert network.reader.settlement(DAY) is None
    (network.home / "settlements").unlink()
    assert _settle(network)["merchants"][0]["sales_count"] == 1


def test_books_that_do_not_agree_keep_the_day_open(network: Network) -> None:
    request = network.request()
    network.code(request)
    entry = network.reader.entries(rrn=request.rrn)[0].id
    with closing(sqlite3.connect(network.home / "checkout.db")) as meddler, meddler:
        (one, other) = (
            row[0]
            for row in meddler.execute(
                "SELECT id FROM clearing_accounts WHERE name LIKE 'position/%' ORDER BY id LIMIT 2"
            )
        )
        meddler.execute(
            "INSERT INTO clearing_transfers VALUES (?, ?, ?, ?, 5, 'meddling')",
            (entry * 16 + 15, entry, one, other),
        )
    with pytest.raises(OperationFailed):
        network.client.operate("settle")
    assert network.reader.settlement(DAY) is None


def test_empty_day_closes_with_nothing(network: Network) -> None:
    report = _settle(network)
    assert (report["posted"], report["positions"], report["merchants"]) == (0, [], [])
