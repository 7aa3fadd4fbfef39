"""The emulated phone that shows its own code: fetches it, polls, types the PIN where it must."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from devices.phone import CodePhone, PhoneError
from tests.devices.phone.test_page import CODE
from tests.devices.phone.test_phone import PAID, Script

WALLET = "http://192.0.2.1"
PIN_FORM = '<main><form data-pay action="/wallet/confirm/S"><input name=pin></form></main>'


def state(go: str | None) -> tuple[int, dict[str, str], str]:
    return 200, {}, json.dumps({"go": go})


def test_code_is_shown_until_it_is_scanned_and_then_paid() -> None:
    script = Script((200, {}, CODE.decode()), state(None), state("/r/1"), (200, {}, PAID))
    phone = CodePhone("bob", WALLET, network=script)
    shown = phone.show()
    assert (shown.digits, shown.picture) == ("9912345678901234567", b"<svg/>")
    assert phone.follow(shown).outcome == "shown"
    result = phone.follow(shown)
    assert (result.outcome, result.payment, result.pin_asked) == ("paid", "pay_1", False)
    assert script.asked[0][2]["Cookie"] == "checkout_payer=bob"
    assert script.asked[1][1] == f"{WALLET}/wallet/code/state?since=17"
    assert result.modelled_ms == 0


def test_pin_is_typed_where_the_page_wants_it() -> None:
    script = Script((200, {}, CODE.decode()), state("/c"), (200, {}, PIN_FORM), (200, {}, PAID))
    phone = CodePhone("bob", WALLET, pin="654321", network=script)
    result = phone.follow(phone.show())
    assert (result.outcome, result.pin_asked) == ("paid", True)
    assert parse_qs(script.asked[-1][3].decode()) == {"pin": ["654321"]}
    assert result.modelled_ms > 0


def test_page_without_a_code_and_answer_that_is_no_json_are_faults() -> None:
    with pytest.raises(PhoneError, match=r"^page: expected a payment code$"):
        CodePhone("bob", WALLET, network=Script((200, {}, PAID))).show()
    phone = CodePhone("bob", WALLET, network=Script((200, {}, CODE.decode()), (500, {}, "oops")))
    with pytest.raises(PhoneError, match=r"^page: no answer but HTTP 500$"):
        phone.follow(phone.show())
