"""Terminal files and CA key files: read whole, or refused by the name of the wrong field."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from devices.nfc.kernel import (
    Kernel,
    TerminalError,
    Transaction,
    TransactionError,
    load_terminal,
    parse_terminal,
    terminal_file,
)
from devices.nfc.kernel.ca_keys import CaKeyError, CaKeyRing, parse_ca_keys
from devices.nfc.kernel.terminal_file import format_terminal, parse_pinned

CHINA = Path(terminal_file.__file__).with_name("terminal_china.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "country", "currency"), [("china", "156", "156"), ("abroad", "764", "764")]
)
def test_the_terminals_that_come_along_take_all_three_schemes(
    name: str, country: str, currency: str
) -> None:
    terminal = load_terminal(name)
    assert (terminal.country, terminal.currency) == (country, currency)
    assert {application.kernel for application in terminal.applications} == set(Kernel)
    for application in terminal.applications:
        limits = application.limits_on(date(2025, 1, 1), currency)
        assert limits.cvm_required > 0
        assert (application.ttq is None) == (application.kernel is Kernel.MASTERCARD)


def test_limits_hold_from_their_date_on_and_before_the_first_the_strictest() -> None:
    application = load_terminal("china").applications[0]
    limit = {
        day: application.limits_on(day, "156").cvm_required
        for day in (date(2010, 1, 1), date(2015, 7, 1), date(2018, 5, 31), date(2018, 6, 1))
    }
    assert list(limit.values()) == [0, 30000, 30000, 100000]
    assert application.limits_on(date(2025, 1, 1), "901").cvm_required == 0


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('kernel = "unionpay"', 'kernel = "quick"', "kernel"),
        ('aids = ["A000000333010106"]', "aids = []", "aids"),
        ('aids = ["A000000333010106"]', 'aids = ["A0"]', "aids"),
        ('aids = ["A000000333010106"]', 'aids = ["XY"]', "aids"),
        ('country = "156"', "country = 156", "country"),
        ('currency = "156"', 'currency = "CNY"', "currency"),
        ('type = "22"', 'type = "2"', "type"),
        ('ttq = "27004080"', 'ttq = "270040"', "ttq"),
        ("from = 2018-06-01", 'from = "soon"', "from"),
        ("cvm_required = 30000", "cvm_required = -1", "cvm_required"),
        ("cvm_required = 30000", "cvm_required = 300.0", "cvm_required"),
        ('terminal_id = "10000001"', 'terminal_id = "100000012"', "terminal_id"),
        ("[terminal]", "[shop]", "[terminal]"),
        ("[terminal]", "[terminal", "TOML"),
    ],
)
def test_a_wrong_line_is_named(old: str, new: str, field: str) -> None:
    assert old in CHINA
    with pytest.raises(TerminalError) as caught:
        parse_terminal(CHINA.replace(old, new))
    assert caught.value.field == field


def test_a_file_may_bring_ca_keys_and_revocations() -> None:
    text = CHINA + (
        '\n[[ca_key]]\nrid = "A000000333"\nindex = "F0"\nmodulus = "%s"\nexponent = "03"\n'
        'expires = 2030-12-31\n[[revoked]]\nrid = "A000000333"\nindex = "F0"\nserial = "000001"\n'
    ) % ("C1" * 128)
    terminal = parse_terminal(text)
    key = terminal.ca_keys.find(bytes.fromhex("A000000333"), 0xF0)
    assert key is not None
    assert key.expires == date(2030, 12, 31)
    assert terminal.ca_keys.is_revoked(key, b"\0\0\x01")
    with pytest.raises(TerminalError):
        parse_terminal(text.replace('exponent = "03"', 'exponent = "05"'))


def test_extra_objects_reach_the_terminal() -> None:
    text = CHINA.replace("[[application]]", '[terminal.extra]\n9F7A = "01"\n\n[[application]]', 1)
    assert parse_terminal(text).extra == {0x9F7A: b"\x01"}
    with pytest.raises(TerminalError):
        parse_terminal(text.replace('9F7A = "01"', '9F7A = "1"'))


def test_a_terminal_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "terminal.toml"
    file.write_text(CHINA, "utf-8")
    assert load_terminal(file) == load_terminal("china")


@pytest.mark.parametrize("name", ["china", "abroad"])
def test_what_is_pinned_reads_back_the_same_for_that_day(name: str) -> None:
    terminal = replace(load_terminal(name), extra={0x9F7A: b"\x01"}, list_of_aids=True)
    asked = Transaction.purchase(1280, at=datetime(2018, 5, 31, 10, 30, 15), sequence=7)
    transaction = replace(asked, unpredictable_number=b"\x01\x02\x03\x04", kind=9, other_minor=5)
    again, asked_again = parse_pinned(format_terminal(terminal, transaction))
    assert asked_again == transaction
    for before, after in zip(terminal.applications, again.applications, strict=True):
        limits = before.limits_on(transaction.day, transaction.currency)
        assert after.limits == (limits,)
        assert replace(after, limits=before.limits) == before
    assert replace(again, applications=terminal.applications) == terminal


@pytest.mark.parametrize("text", ["", "[terminal]", "[transaction]\namount_minor = 1"])
def test_a_pinned_text_that_does_not_hold_together_is_refused(text: str) -> None:
    with pytest.raises(TerminalError):
        parse_pinned(text)
    with pytest.raises(TerminalError):
        parse_pinned(CHINA + "\n[transaction]\nweight = 3\n")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_minor": -1}, "amount"),
        ({"amount_minor": 10**12}, "amount"),
        ({"other_minor": -1}, "other amount"),
        ({"currency": "CNY"}, "currency"),
        ({"unpredictable_number": b"\x01"}, "unpredictable number"),
        ({"kind": 0x9A}, "type or sequence"),
    ],
)
def test_a_transaction_that_no_tag_can_hold_is_refused(
    changes: dict[str, object], field: str
) -> None:
    fields: dict[str, object] = {"amount_minor": 1, "currency": "156", "day": date(2025, 1, 1)}
    with pytest.raises(TransactionError) as caught:
        Transaction(**(fields | changes))  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_purchase_names_its_currency_by_letters() -> None:
    assert Transaction.purchase(100, "jpy", at=datetime(2025, 1, 1)).exponent == 0
    with pytest.raises(TransactionError):
        Transaction.purchase(100, "XAU", at=datetime(2025, 1, 1))


def entry(**changes: object) -> dict[str, object]:
    good = {"rid": "A000000333", "index": "80", "modulus": "C1" * 128, "exponent": "010001"}
    return good | changes


def test_ca_keys_are_read_from_json() -> None:
    ring = parse_ca_keys(
        json.dumps([entry(), entry(index="81", exponent="3", expires="2030-01-31")])
    )
    first = ring.find(bytes.fromhex("A000000333"), 0x80)
    second = ring.find(bytes.fromhex("A000000333"), 0x81)
    assert first is not None
    assert second is not None
    assert (first.exponent, second.exponent, second.expires) == (65537, 3, date(2030, 1, 31))
    assert not first.own
    assert all(key.own for key in ring.as_own().keys.values())
    assert len(ring.merged(CaKeyRing()).keys) == 2


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[1]", "entry"),
        ("[null]", "entry"),
        (json.dumps([entry(exponent="02")]), "exponent"),
        (json.dumps([entry(modulus="C1" * 256)]), "modulus"),
        (json.dumps([entry(modulus="C1" * 256, exponent="02")]), "modulus"),
        (json.dumps([entry(expires=20300131)]), "expires"),
        (json.dumps([entry(rid="A0")]), "rid"),
        (json.dumps([entry(rid=None)]), "rid"),
        (json.dumps([entry(index="8080")]), "index"),
        (json.dumps([entry(modulus="XY")]), "modulus"),
        (json.dumps([entry(modulus="C1" * 249)]), "modulus"),
        (json.dumps([entry(modulus="C2" * 128)]), "modulus"),
        (json.dumps([entry(exponent="05")]), "exponent"),
        (json.dumps([entry(expires="soon")]), "expires"),
    ],
)
def test_a_wrong_ca_key_is_named_and_left_out_and_the_others_are_used(
    text: str, field: str
) -> None:
    wrong = json.loads(text)[0]
    before, after = entry(index="90"), entry(index="91")
    ring = parse_ca_keys(json.dumps([before, wrong, after]), own=True)
    assert sorted(index for _, index in ring.keys) == [0x90, 0x91]
    (error,) = ring.left_out
    assert (error.entry, error.field) == ("#2", field)
    for other in (ring.as_own(), ring.merged(CaKeyRing()), CaKeyRing().merged(ring)):
        assert other.left_out == ring.left_out
    assert parse_ca_keys(text).keys == {}


@pytest.mark.parametrize("text", ["{", "{}", "", "null", '"A0"'])
def test_a_text_that_is_no_list_of_keys_is_an_error(text: str) -> None:
    with pytest.raises(CaKeyError) as caught:
        parse_ca_keys(text)
    assert caught.value.field == "JSON"
