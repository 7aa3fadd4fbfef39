"""The modes and character sets of every kind of symbol that is drawn, read back bit by bit."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime

import pytest
import zxingcpp
from PIL import Image

from checkout.acceptance.qr.payer_code import PayerCodes
from devices.qr.codec import mpm
from devices.qr.codec.mpm import LanguageTemplate, MerchantPresented, Template
from devices.qr.symbol import rendering
from devices.qr.symbol.encoder import encode
from tests.devices.qr.symbol.segments import Segment, segments

LINK = "HTTP://192.168.1.20:8000/P/ABCDEFGHIJKLM"
PLAIN = MerchantPresented(
    accounts=(Template(id="26", guid="LANE.CHECKOUT.DEMO", objects=(("01", "9" * 40),)),),
    mcc="5812",
    currency="156",
    country="CN",
    name="LANE TEA HOUSE AND BAKERY",
    city="SHANGHAI",
    amount="12.80",
    dynamic=True,
)
CHINESE = MerchantPresented(
    accounts=PLAIN.accounts,
    mcc="5812",
    currency="156",
    country="CN",
    name="LANE TEA HOUSE",
    city="SHANGHAI",
    language=LanguageTemplate(language="ZH", name="小巷茶馆", city="上海"),
)
PAYER = PayerCodes(b"k" * 16, ["Ann"])


def is_read(text: str) -> bool:
    """Whether zxing-cpp reads a picture of `text` as that text."""
    picture = Image.open(io.BytesIO(rendering.png(text, module_pixels=4)))
    return [each.text for each in zxingcpp.read_barcodes(picture, formats=zxingcpp.QRCode)] == [
        text
    ]


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
def test_merchant_presented_payload_is_in_byte_mode_alone(level: str) -> None:
    """MPM 1.0, 4.12.1.1 and 4.12.1.2: numeric and alphanumeric modes shall not be used."""
    text = mpm.build(PLAIN)
    rows = encode(text, error_correction=level).rows
    assert segments(rows) == (Segment("byte", len(text), text.encode()),)
    assert is_read(text)


def test_merchant_presented_payload_beyond_ascii_announces_utf_8() -> None:
    text = mpm.build(CHINESE)
    content = text.encode()
    assert segments(encode(text).rows) == (
        Segment("eci", 26),
        Segment("byte", len(content), content),
    )
    assert is_read(text)


def test_consumer_presented_payload_is_in_byte_mode_alone() -> None:
    text = PAYER.show("Ann", datetime(2026, 5, 1, tzinfo=UTC)).emv
    content = text.encode()
    assert segments(encode(text).rows) == (Segment("byte", len(content), content),)
    numeric = "hQVDUFYwMWE" + "1234567890" * 9
    assert [each.mode for each in segments(encode(numeric).rows)] == ["byte"]


@pytest.mark.parametrize("text", ["é", "สวัสดี", "https://例え.example/カフェ", "茶" * 700])
def test_other_text_beyond_ascii_announces_utf_8_too(text: str) -> None:
    first, *rest = segments(encode(text).rows)
    assert first == Segment("eci", 26)
    assert b"".join(each.content for each in rest).decode() == text
    assert is_read(text)


def test_bytes_are_written_without_a_character_set() -> None:
    assert segments(encode("é".encode()).rows) == (Segment("byte", 2, "é".encode()),)


def test_links_stay_alphanumeric_and_digits_numeric() -> None:
    assert segments(encode(LINK).rows) == (Segment("alphanumeric", len(LINK), LINK.encode()),)
    digits = "9912345678901234567"
    assert segments(encode(digits).rows) == (Segment("numeric", 19, digits.encode()),)


def test_every_text_comes_back_from_its_segments() -> None:
    rng = random.Random(18004)
    for version_text in range(1, 40):
        alphabet = rng.choice(["0123456789", "ABC0123456789:/", "abcXYZ019 é茶"])
        text = "".join(rng.choices(alphabet, k=version_text * 23))
        found = segments(encode(text, error_correction=rng.choice("LM")).rows)
        assert b"".join(each.content for each in found).decode() == text
        assert (found[0] == Segment("eci", 26)) == (not text.isascii())
