"""The shop's own EMV codes: genuine ones open, changed and strange ones are refused."""

from __future__ import annotations

import dataclasses
import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from checkout.acceptance.qr import signed_payload
from checkout.acceptance.qr.signed_payload import CodeRefused
from checkout.config import Merchant
from checkout.money import Money
from devices.qr.codec import mpm
from devices.qr.codec.mpm_tlv import split, with_crc
from devices.qr.codec.verdict import Verdict

KEY = b"a key of the shop, kept in its home"
CODE = "ABCDEFGHIJKLM"
AMOUNT = Money(amount_minor=1280, currency="CNY")


def payload(**changes: object) -> str:
    given = {"merchant": Merchant(), "code": CODE, "amount": AMOUNT, "key": KEY, "reference": "T-1"}
    return signed_payload.dynamic_payload(**{**given, **changes})  # type: ignore[arg-type]


def test_dynamic_code_says_amount_merchant_and_order() -> None:
    offer = signed_payload.open_payload(payload(), key=KEY)
    assert offer.amount == AMOUNT
    assert offer.code == CODE
    assert (offer.merchant_name, offer.merchant_id) == ("Lane Tea House", "999156058120001")
    assert offer.reference == "T-1"
    assert offer.dynamic
    assert offer.agrees_with(amount_minor=1280, currency="CNY", merchant_id=offer.merchant_id)
    assert not offer.agrees_with(amount_minor=1281, currency="CNY", merchant_id=offer.merchant_id)
    assert not offer.agrees_with(amount_minor=1280, currency="USD", merchant_id=offer.merchant_id)
    assert not offer.agrees_with(amount_minor=1280, currency="CNY", merchant_id="other")


def test_payload_keeps_the_standard_and_no_networks_identifier() -> None:
    reading = mpm.parse(payload())
    assert reading.verdict is Verdict.STRICT
    assert reading.value("01") == "12"
    assert reading.value("54") == "12.80"
    assert reading.value("62-05") == "T-1"
    assert not any(tag <= "25" for tag in reading.fields if tag not in ("00", "01"))
    assert reading.value("26-00") == signed_payload.GUID


def test_sticker_leaves_the_amount_to_the_payer() -> None:
    text = signed_payload.static_payload(merchant=Merchant(), code=CODE, currency="CNY", key=KEY)
    offer = signed_payload.open_payload(text, key=KEY)
    assert offer.amount is None
    assert not offer.dynamic
    assert offer.agrees_with(amount_minor=99, currency="CNY", merchant_id=offer.merchant_id)


def test_sticker_may_have_an_amount_of_its_own() -> None:
    text = signed_payload.static_payload(
        merchant=Merchant(), code=CODE, currency="CNY", key=KEY, amount=AMOUNT, label="Tea"
    )
    offer = signed_payload.open_payload(text, key=KEY)
    assert (offer.amount, offer.dynamic, offer.reference) == (AMOUNT, False, "Tea")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("540512.80", "540511.80"),
        ("540512.80", "54040.01"),
        ("5914Lane Tea House", "5914Lame Tea House"),
        ("5303156", "5303840"),
        (CODE, "ABCDEFGHIJKLN"),
        ("010212", "010211"),
        ("0504T-1", "0504T-2"),
        ("999156058120001", "999156058120002"),
        ("5204581253", "5204581353"),
    ],
)
def test_changed_code_is_refused_though_its_check_value_is_made_anew(
    before: str, after: str
) -> None:
    original = payload(reference="T-1x")
    assert before in original
    changed = with_crc(original[:-8].replace(before, after))
    assert mpm.parse(changed).verdict is Verdict.STRICT
    with pytest.raises(CodeRefused) as caught:
        signed_payload.open_payload(changed, key=KEY)
    assert caught.value.kind == "forged"


def test_object_added_or_taken_out_is_refused() -> None:
    original = payload()
    for changed in (
        with_crc(original[:-8] + "6105ABCDE"),
        with_crc(original[:-8].replace("540512.80", "")),
        with_crc(original[:-8].replace("0503T-1", "")),
    ):
        assert changed != original
        with pytest.raises(CodeRefused):
            signed_payload.open_payload(changed, key=KEY)


def test_code_of_another_shop_is_refused() -> None:
    with pytest.raises(CodeRefused) as caught:
        signed_payload.open_payload(payload(key=b"a key of quite another shop"), key=KEY)
    assert caught.value.kind == "forged"


def test_code_without_a_tag_is_refused() -> None:
    merchant = Merchant()
    bare = mpm.build(
        mpm.MerchantPresented(
            accounts=(
                mpm.Template(
                    id="26",
                    guid=signed_payload.GUID,
                    objects=(("01", merchant.merchant_id), ("02", CODE)),
                ),
            ),
            mcc=merchant.mcc,
            currency="156",
            amount="12.80",
            country="CN",
            name=merchant.name,
            city=merchant.city,
        )
    )
    with pytest.raises(CodeRefused) as caught:
        signed_payload.open_payload(bare, key=KEY)
    assert caught.value.kind == "forged"
    assert signed_payload.is_ours(bare)


def test_other_payloads_are_foreign_and_damaged_ones_broken() -> None:
    foreign = with_crc(payload()[:-8].replace(signed_payload.GUID, "COM.EXAMPLE.OTHER."))
    with pytest.raises(CodeRefused) as caught:
        signed_payload.open_payload(foreign, key=KEY)
    assert caught.value.kind == "foreign"
    text = payload()
    with pytest.raises(CodeRefused) as caught:
        signed_payload.open_payload(text[:-1] + ("0" if text[-1] != "0" else "1"), key=KEY)
    assert caught.value.kind == "broken"
    with pytest.raises(CodeRefused):
        signed_payload.open_payload("hello", key=KEY)


def test_names_in_other_scripts_still_make_a_payload() -> None:
    merchant = dataclasses.replace(Merchant(), name="茶馆" * 20, city="上海")
    offer = signed_payload.open_payload(payload(merchant=merchant, reference="订单"), key=KEY)
    assert offer.merchant_id == merchant.merchant_id


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^key: "):
        payload(key=b"short")


@settings(deadline=None)
@given(
    amount=st.integers(1, 10**9),
    currency=st.sampled_from(["CNY", "JPY", "KWD"]),
    reference=st.text(min_size=1, max_size=64),
)
def test_any_order_opens_again(amount: int, currency: str, reference: str) -> None:
    money = Money(amount_minor=amount, currency=currency)
    offer = signed_payload.open_payload(payload(amount=money, reference=reference), key=KEY)
    assert offer.amount == money


def test_every_single_character_counts() -> None:
    original = payload()
    objects = split(original)
    assert objects[-1].id == "63"
    for at in range(len(original) - 8):
        changed = original[:at] + chr(ord(original[at]) ^ 1) + original[at + 1 :]
        with pytest.raises(CodeRefused):
            signed_payload.open_payload(with_crc(changed[:-8]), key=KEY)


@pytest.mark.parametrize(
    ("name", "city", "latin_name", "latin_city", "code"),
    [
        ("小巷茶馆", "上海", "Xiao Xiang Cha Guan", "Shang Hai", "ZH"),
        ("小巷茶馆", "SHANGHAI", "Xiao Xiang Cha Guan", "SHANGHAI", "ZH"),
        ("张记 88号 Bakery", "北京", "Zhang Ji 88 Hao Bakery", "Bei Jing", "ZH"),
        ("北京小巷烤鸭店", "北京", "BeiJingXiaoXiangKaoYaDian", "Bei Jing", "ZH"),
        ("お茶屋", "TOKYO", "Cha Wu", "TOKYO", "JA"),
        ("한국 김밥", "서울", "SHOP 999156058120001", "CN", "KO"),
    ],
)
def test_name_in_another_script_has_a_latin_form_beside_it(
    name: str, city: str, latin_name: str, latin_city: str, code: str
) -> None:
    merchant = dataclasses.replace(Merchant(), name=name, city=city)
    text = payload(merchant=merchant)
    reading = mpm.parse(text)
    assert (reading.verdict, reading.issues) == (Verdict.STRICT, ())
    assert (reading.value("59"), reading.value("60")) == (latin_name, latin_city)
    assert reading.fields["64"] == {"00": code, "01": name, "02": city}
    offer = signed_payload.open_payload(text, key=KEY)
    assert (offer.merchant_name, offer.merchant_city) == (name, city)


def test_accents_are_left_out_of_the_latin_form() -> None:
    merchant = dataclasses.replace(Merchant(), name="Café Zürich", city="MÜNCHEN")
    reading = mpm.parse(payload(merchant=merchant, reference="Señal"))
    assert (reading.value("59"), reading.value("60")) == ("Cafe Zurich", "MUNCHEN")
    assert reading.value("62-05") == "Senal"
    assert "64" not in reading.fields


def test_name_in_decomposed_letters_is_written_composed() -> None:
    merchant = dataclasses.replace(Merchant(), name=unicodedata.normalize("NFD", "カフェ゛ガ"))
    reading = mpm.parse(payload(merchant=merchant))
    assert reading.verdict is Verdict.STRICT
    assert unicodedata.is_normalized("NFC", reading.value("64-01") or "")


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=60))
def test_any_name_gives_a_payload_that_keeps_the_standard(
    name: str, city: str, reference: str
) -> None:
    merchant = dataclasses.replace(Merchant(), name=name, city=city)
    reading = mpm.parse(payload(merchant=merchant, reference=reference))
    assert (reading.verdict, reading.issues) == (Verdict.STRICT, ())


def test_changed_name_in_the_shops_script_is_refused() -> None:
    merchant = dataclasses.replace(Merchant(), name="小巷茶馆", city="上海")
    text = payload(merchant=merchant)
    changed = with_crc(text[:-8].replace("小巷茶馆", "小巷酒馆"))
    with pytest.raises(CodeRefused) as caught:
        signed_payload.open_payload(changed, key=KEY)
    assert caught.value.kind == "forged"
