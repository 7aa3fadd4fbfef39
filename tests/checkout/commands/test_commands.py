"""The commands as other programs call them: output, exit status, one-line errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.shop.payments.stored_requests import open_request
from checkout.shop.shop import Shop
from tests.checkout.serving import free_port


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation for all of them: cards and keys are made once."""
    return tmp_path_factory.mktemp("home")


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "checkout", *arguments],
        env=os.environ | {"CHECKOUT_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(home: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(home, *arguments)
    out, err = process.communicate(timeout=90)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def run_json(home: Path, *arguments: str) -> tuple[int, Any]:
    status, out, err = run(home, *arguments, "--json")
    assert out, err
    return status, json.loads(out)


PAYMENT = {"id", "mode", "scheme", "state", "response_code", "approval_code", "rrn", "pan"}
STEP = {"n", "at_ms", "from", "to", "what", "bytes_sent", "bytes_received"}


@pytest.mark.parametrize("mode", ["qr", "nfc"])
def test_pay_sells_a_cup_of_tea_by_either_mode(home: Path, mode: str) -> None:
    status, sale = run_json(home, "pay", "--mode", mode, "--amount", "12.80")
    assert status == 0
    order, payment = sale["order"], sale["payment"]
    assert set(sale) == {"order", "payment", "timing_ms", "steps"}
    assert set(order) == {"id", "reference", "amount_minor", "currency", "state"}
    assert (order["amount_minor"], order["currency"], order["state"]) == (1280, "CNY", "paid")
    assert set(payment) == PAYMENT
    assert (payment["mode"], payment["state"], payment["response_code"]) == (mode, "paid", "00")
    assert payment["pan"] == "999901******0019"
    assert sale["timing_ms"]["total"] > sale["timing_ms"]["modelled"] > 0
    assert all(set(step) >= STEP for step in sale["steps"])
    assert [step["n"] for step in sale["steps"]] == list(range(1, len(sale["steps"]) + 1))


def test_both_sales_stand_in_one_ledger_that_sums_to_zero(home: Path) -> None:
    rrns = [
        run_json(home, "pay", "--mode", mode, "--amount", "12.80")[1]["payment"]["rrn"]
        for mode in ("qr", "nfc")
    ]
    shop = Shop.open(Config(home=home), payers=DemoPayers())
    try:
        for rrn in rrns:
            legs: dict[str, int] = {}
            for posting in shop.books.postings(rrn):
                legs[posting.debit] = legs.get(posting.debit, 0) - posting.amount_minor
                legs[posting.credit] = legs.get(posting.credit, 0) + posting.amount_minor
            assert legs
            assert sum(legs.values()) == 0
            assert min(legs.values()) == -1280
        shop.books.trial_balance()
    finally:
        shop.close()


def test_the_code_was_read_from_its_picture_and_the_card_by_apdus(home: Path) -> None:
    by_code = run_json(home, "pay", "--mode", "qr", "--amount", "1.00")[1]["steps"]
    assert by_code[0]["what"] == "picture of the code"
    assert by_code[0]["bytes_sent"] > 100
    assert any(step["what"].startswith("POST") for step in by_code)
    by_tap = run_json(home, "pay", "--mode", "nfc", "--amount", "1.00")[1]["steps"]
    assert [step["what"] for step in by_tap][:2] == ["SELECT PPSE", "SELECT A000000333010101"]


def test_no_output_holds_a_whole_card_number(home: Path) -> None:
    for arguments in (
        ("pay", "--mode", "nfc", "--amount", "1.00", "--json"),
        ("pay", "--mode", "qr", "--amount", "1.00", "--json"),
        ("pay", "--mode", "nfc", "--amount", "1.00"),
        ("tap", "--reader", "emulated", "--json"),
        ("tap", "--reader", "emulated"),
        ("payers", "--json"),
    ):
        status, out, err = run(home, *arguments)
        assert status == 0, err
        assert "9999011000000019" not in out + err, arguments


@contextmanager
def card(home: Path, name: str, on: str) -> Iterator[str]:
    process = start(home, "card", name, "--on", on)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize("on", ["pty", "udp:localhost:54321"])
def test_a_card_in_another_process_is_tapped_by_its_path(home: Path, on: str) -> None:
    with card(home, "unionpay-debit", on) as path:
        assert path.startswith(on.split(":")[0] if on != "pty" else "pn532:/dev/")
        status, tap = run_json(home, "tap", "--amount", "12.80", "--reader", path)
    assert status == 0
    assert (tap["outcome"], tap["cryptogram"]) == ("online-request", "ARQC")
    assert tap["oda"] == {"method": "fDDA", "result": "passed", "reason": None}
    assert (tap["kernel"], tap["cvm"]) == ("unionpay", "none")


def test_a_card_counts_its_taps_across_processes(home: Path) -> None:
    counts = [int(run_json(home, "tap", "--reader", "emulated")[1]["atc"], 16) for _ in range(2)]
    assert counts[1] == counts[0] + 1


def test_a_recorded_tap_replays(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "tap.apdu"
    _, first = run_json(home, "tap", "--reader", "emulated", "--record", str(file))
    status, again = run_json(home, "tap", "--reader", f"transcript:{file}")
    assert status == 0
    assert [e["response"] for e in again["exchanges"]] == [
        e["response"] for e in first["exchanges"]
    ]
    assert again["oda"]["result"] == "passed"


def test_a_recorded_card_that_would_have_to_come_again_is_not_waited_for(
    home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "torn.apdu"
    file.write_text("> 00A404000E325041592E5359532E444446303100\n<\n", "utf-8")
    began = time.monotonic()
    status, _, error = run(
        home, "pay", "--mode", "nfc", "--amount", "1.00", "--reader", f"transcript:{file}"
    )
    assert status == 1
    assert time.monotonic() - began < 25
    assert len(error.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("payer", "mode", "code"),
    [
        ("blocked", "qr", "62"),
        ("empty", "qr", "51"),
        ("empty", "nfc", "51"),
        ("expired", "nfc", "54"),
        ("replayed-cryptogram", "nfc", None),
    ],
)
def test_a_declined_sale_ends_with_status_three(
    home: Path, payer: str, mode: str, code: str | None
) -> None:
    status, sale = run_json(home, "pay", "--mode", mode, "--amount", "12.80", "--payer", payer)
    assert status == 3
    assert sale["payment"]["state"] == "declined"
    assert sale["order"]["state"] == "cancelled"
    assert sale["payment"]["response_code"] != "00"
    if code is not None:
        assert sale["payment"]["response_code"] == code


def test_a_wrong_pin_is_refused_and_the_third_blocks(tmp_path: Path) -> None:
    codes = [
        run_json(tmp_path, "pay", "--mode", "qr", "--amount", "1.00", "--pin", pin)[1]["payment"][
            "response_code"
        ]
        for pin in ("000000", "000000", "000000", "123456")
    ]
    assert codes[:2] == ["55", "55"]
    assert codes[2] in ("55", "75")
    assert codes[3] == "75"


def test_a_card_pulled_away_halfway_books_nothing(home: Path) -> None:
    status, out, err = run(
        home, "pay", "--mode", "nfc", "--amount", "12.80", "--payer", "pulled-away", "--json"
    )
    assert (status, out) == (1, "")
    assert "present the same card again" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "names"),
    [
        (("pay", "--mode", "qr", "--amount", "-1"), 2, "amount"),
        (("pay", "--mode", "qr", "--amount", "0"), 2, "amount"),
        (("pay", "--mode", "nfc", "--amount", "tea"), 2, "amount"),
        (("pay", "--mode", "nfc", "--amount", "1.234"), 2, "2 decimals"),
        (("pay", "--mode", "nfc", "--amount", "1", "--currency", "XXX"), 2, "currency"),
        (("pay", "--mode", "qr", "--amount", "50000.01"), 1, "order limit"),
        (("pay", "--mode", "qr", "--amount", "1", "--payer", "nobody"), 1, "payer"),
        (("pay", "--amount", "1"), 2, "--mode"),
        (("pay", "--mode", "nfc", "--amount", "1", "--reader", "usb:1234:5678"), 1, "usb:1234"),
        (("tap", "--reader", "pn532:/dev/nowhere"), 1, "/dev/nowhere"),
        (("tap", "--reader", "telepathy"), 1, "telepathy"),
        (("tap", "--reader", "none"), 1, "reader"),
        (("tap", "--reader", "transcript:/nowhere"), 1, "/nowhere"),
        (("tap", "--ca-keys", "/nowhere"), 1, "/nowhere"),
        (("card", "nobody", "--on", "pty"), 1, "nobody"),
        (("card", "unionpay-debit", "--on", "nowhere"), 1, "nowhere"),
        (("serve", "--port", "99999"), 1, "port"),
        (("serve", "--port", "tea"), 2, "port"),
        (("dance",), 2, "dance"),
        (("tap", "--amount", "1234567890123.00"), 2, "at most 12 digits"),
        (("tap", "--timeout", "nan"), 2, "--timeout"),
        (("tap", "--timeout", "-1"), 2, "--timeout"),
        (("settle", "--date", "20260101"), 1, "YYYY-MM-DD"),
        (("compare", "--payments", "0"), 1, "payments"),
        (("compare", "--html", "/"), 1, "html: / is a folder"),
        (("qr", "read", "/tmp"), 1, "/tmp is a folder"),
        (("reset", "--database", "/nowhere/checkout.db"), 1, "/nowhere"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    home: Path, arguments: tuple[str, ...], status: int, names: str
) -> None:
    ended, out, err = run(home, *arguments)
    assert (ended, out) == (status, "")
    assert names in err
    assert err.count("\n") == 1, err


@pytest.mark.parametrize(
    "arguments",
    [
        ("pay", "--mode", "qr", "--amount", "1"),
        ("card", "unionpay-debit", "--on", "pty"),
        ("settle",),
        ("switch", "--port", "0"),
        ("serve", "--port", str(free_port())),
        ("reset",),
    ],
)
def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    ended, out, err = run(tmp_path / "file", *arguments)
    assert (ended, out) == (1, "")
    assert "CHECKOUT_HOME" in err
    assert "it is a file" in err
    assert err.count("\n") == 1, err


def catches_interrupts(pid: int) -> bool:
    """Whether the process has a handler of its own for SIGINT, by Linux's word."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGINT - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("after_s", [0.0, 0.2])
def test_ctrl_c_while_the_program_loads_says_nothing(home: Path, after_s: float) -> None:
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # as under nohup
    process = start(home, "switch", "--port", "0")
    signal.signal(signal.SIGINT, ignored)
    deadline = time.monotonic() + 60
    for caught in (True, False):  # Python's own handler, then none: from there on it is ours
        while catches_interrupts(process.pid) is not caught:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode in (-signal.SIGINT, 130, 0)


def test_a_closed_output_costs_the_sale_nothing(home: Path) -> None:
    """As `checkout pay --json >&-` in a shell."""
    command = [sys.executable, "-m", "checkout", "pay", "--mode", "qr", "--amount", "1", "--json"]
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command],
        env=os.environ | {"CHECKOUT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (0, "")


def test_payers_fit_a_narrow_terminal(home: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "checkout", "payers"],
        env=os.environ | {"CHECKOUT_HOME": str(home), "COLUMNS": "60"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    assert told[0] == "unionpay-debit  999901******0019  qr, nfc"
    assert told[1].startswith("  The everyday card")


def test_a_date_without_sales_is_closed_in_words(tmp_path: Path) -> None:
    first = run(tmp_path, "settle", "--date", "2026-01-05")[1]
    assert "closed" in first
    assert "no sale fell on it" in first
    assert "had been closed before" in run(tmp_path, "settle", "--date", "2026-01-05")[1]


def test_a_currency_may_be_written_small(home: Path) -> None:
    status, tap = run_json(home, "tap", "--reader", "emulated", "--currency", "cny")
    assert (status, tap["outcome"]) == (0, "online-request")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_database_that_cannot_be_written_is_told(home: Path, tmp_path: Path) -> None:
    database = tmp_path / "checkout.db"
    run(home, "pay", "--mode", "qr", "--amount", "1", "--database", str(database))
    database.chmod(0o400)
    status, _, err = run(home, "pay", "--mode", "qr", "--amount", "1", "--database", str(database))
    assert status == 1
    assert err.count("\n") == 1


def test_another_programs_sqlite_file_is_refused_untouched(home: Path, tmp_path: Path) -> None:
    import sqlite3

    database = tmp_path / "theirs.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    status, out, err = run(
        home, "pay", "--mode", "qr", "--amount", "1", "--database", str(database)
    )
    assert (status, out) == (1, "")
    assert str(database) in err
    assert database.read_bytes() == before


def test_two_commands_at_once_share_one_switch(home: Path) -> None:
    began = time.monotonic()
    both = [
        start(home, "pay", "--mode", mode, "--amount", "2.00", "--json")
        for mode in ("qr", "nfc", "qr", "nfc")  # the two taps are of one card
    ]
    for process in both:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert json.loads(out)["order"]["state"] == "paid"
    assert time.monotonic() - began < 90


def test_reset_fills_the_accounts_again(tmp_path: Path) -> None:
    run_json(tmp_path, "pay", "--mode", "qr", "--amount", "1.00", "--pin", "000000")
    assert run(tmp_path, "reset")[0] == 0
    status, sale = run_json(tmp_path, "pay", "--mode", "nfc", "--amount", "1.00")
    assert (status, sale["order"]["state"]) == (0, "paid")


def test_settle_prints_every_merchant_of_a_day_that_no_message_holds(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    shop = Shop.open(config, payers=DemoPayers(), own_switch=True)
    merchants = [f"99915605812{number:04d}" for number in range(100, 160)]
    try:
        order = shop.orders.create(amount_minor=100)
        sale = shop.code_payments.pay(order.code, payer="unionpay-credit", pin="123456")
        row = shop.payments.row(sale.id)
        assert row is not None
        request = open_request(shop.seal, row.sealed_request)
        for stan, merchant in enumerate(merchants, 900_000):
            asked = replace(request, stan=stan, merchant_id=merchant, rrn=f"{stan:012d}")
            assert shop.clearing().authorize(asked).response.approved
    finally:
        shop.close()
    status, report = run_json(tmp_path, "settle")
    assert status == 0
    told = {one["merchant"]: one["payout_minor"] for one in report["merchants"]}
    assert set(merchants) < set(told) and len(set(told.values())) == 1
    assert sum(one["net_minor"] for one in report["positions"]) == 0
    assert report["positions"] and report["closed_before"] is False
