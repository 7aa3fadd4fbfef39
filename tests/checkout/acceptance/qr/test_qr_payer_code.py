"""Payer codes: new every minute, bound to one account, nobody else's to guess."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checkout.acceptance.qr import payer_code
from checkout.acceptance.qr.code_kinds import _BARCODES
from checkout.acceptance.qr.payer_code import PayerCodeRefused, PayerCodes
from devices.qr.codec import cpm
from devices.qr.codec.verdict import Verdict

KEY = b"a key of the wallet's own house"
NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ACCOUNTS = ["hce-phone", "unionpay-debit", "wallet-quick"]


@pytest.fixture
def house() -> PayerCodes:
    return PayerCodes(KEY, ACCOUNTS)


def test_code_is_nineteen_digits_of_no_known_wallet(house: PayerCodes) -> None:
    code = house.show("hce-phone", NOON)
    assert len(code.digits) == 19
    assert code.digits.isdigit()
    assert not any(form.fullmatch(code.digits) for _, form in _BARCODES)
    assert code.spoken.replace(" ", "") == code.digits
    assert code.shown_from <= NOON < code.shown_until
    assert code.shown_until - code.shown_from == MINUTE


def test_code_finds_its_account_as_digits_and_as_emv(house: PayerCodes) -> None:
    for account in ACCOUNTS:
        code = house.show(account, NOON)
        for text in (code.digits, code.spoken, code.emv, f" {code.digits}\r\n"):
            found = house.find(text, NOON)
            assert (found.account, found.digits) == (account, code.digits)


def test_code_changes_every_minute_and_by_account(house: PayerCodes) -> None:
    seen = {
        house.show(account, NOON + n * MINUTE).digits for account in ACCOUNTS for n in range(60)
    }
    assert len(seen) == 180
    assert house.show("hce-phone", NOON) == house.show("hce-phone", NOON + timedelta(seconds=20))


def test_what_is_common_to_two_minutes_does_not_tell_the_account(house: PayerCodes) -> None:
    hidden = {house.show("hce-phone", NOON + n * MINUTE).digits[2:8] for n in range(50)}
    assert len(hidden) == 50


def test_code_outlives_its_minute_by_one_and_then_has_expired(house: PayerCodes) -> None:
    code = house.show("hce-phone", NOON)
    assert house.find(code.digits, NOON + MINUTE).account == "hce-phone"
    for text in (code.digits, code.emv):
        for later in (2 * MINUTE, timedelta(hours=5)):
            with pytest.raises(PayerCodeRefused) as caught:
                house.find(text, NOON + later)
            assert caught.value.kind == "expired"


def test_phone_whose_clock_is_a_minute_fast_still_pays(house: PayerCodes) -> None:
    assert house.find(house.show("hce-phone", NOON + MINUTE).digits, NOON).account == "hce-phone"
    with pytest.raises(PayerCodeRefused):
        house.find(house.show("hce-phone", NOON + 2 * MINUTE).digits, NOON)


def test_changed_digit_and_strange_house_are_unknown(house: PayerCodes) -> None:
    code = house.show("hce-phone", NOON)
    for at in range(2, 19):
        changed = code.digits[:at] + str((int(code.digits[at]) + 1) % 10) + code.digits[at + 1 :]
        with pytest.raises(PayerCodeRefused) as caught:
            house.find(changed, NOON)
        assert caught.value.kind == "unknown"
    with pytest.raises(PayerCodeRefused):
        PayerCodes(b"another house, another key", ACCOUNTS).find(code.digits, NOON)


def test_emv_payload_with_another_proof_is_unknown(house: PayerCodes) -> None:
    emv = house.show("hce-phone", NOON).emv
    reading = cpm.parse(emv)
    proof = reading.find("9F26")
    assert proof is not None
    import base64

    content = base64.b64decode(emv)
    forged = base64.b64encode(content.replace(proof, bytes(8))).decode()
    with pytest.raises(PayerCodeRefused) as caught:
        house.find(forged, NOON)
    assert caught.value.kind == "unknown"


def test_emv_payload_keeps_the_standard_with_an_unregistered_identifier(house: PayerCodes) -> None:
    reading = cpm.parse(house.show("hce-phone", NOON).emv)
    assert reading.verdict is Verdict.STRICT
    assert (reading.find("4F") or b"")[0] >> 4 == 0xF


@pytest.mark.parametrize("text", ["", "99", "9" * 18, "9" * 20, "９９" + "1" * 17, "hQVDUFYwMQ=="])
def test_other_texts_are_refused(house: PayerCodes, text: str) -> None:
    assert not payer_code.is_payer_code(text)
    with pytest.raises(PayerCodeRefused):
        house.find(text, NOON)


def test_unregistered_account_has_no_code(house: PayerCodes) -> None:
    with pytest.raises(KeyError):
        house.show("stranger", NOON)


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^key: "):
        PayerCodes(b"short", ACCOUNTS)


def test_accounts_that_fall_on_one_handle_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payer_code, "_HANDLES", 4)
    house = PayerCodes(KEY, ["a", "b", "c", "d"])
    for account in "abcd":
        assert house.find(house.show(account, NOON).digits, NOON).account == account
