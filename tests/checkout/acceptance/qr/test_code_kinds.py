"""The kind of any text is recognised; the command reads pictures, files and text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from checkout.acceptance.qr import signed_payload
from checkout.acceptance.qr.code_kinds import Kind, best, read
from checkout.acceptance.qr.payer_code import PayerCodes
from checkout.commands import qr
from checkout.commands.qr import CodeFileError
from checkout.config import Merchant
from checkout.money import Money
from devices.qr.codec import mpm
from devices.qr.codec.mpm_tlv import join, with_crc
from devices.qr.codec.verdict import Verdict
from devices.qr.scanner import NoCode, NotAnImage
from devices.qr.symbol import rendering
from devices.qr.symbol.sticker_sheet import Sticker

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
KEY = b"a key of the shop, kept in its home"
LINK = "HTTP://192.168.1.20:8000/P/ABCDEFGHIJKLM"
EMV = signed_payload.dynamic_payload(
    merchant=Merchant(),
    code="ABCDEFGHIJKLM",
    amount=Money(amount_minor=1280, currency="CNY"),
    key=KEY,
)
SHORT_OF_A_CITY = with_crc(
    join(
        (
            ("00", "01"),
            ("26", "0004LANE"),
            ("52", "5812"),
            ("53", "156"),
            ("58", "CN"),
            ("59", "Lane Tea House"),
        )
    )
)
PAYER = PayerCodes(KEY, ["hce-phone"]).show("hce-phone", NOW)


@pytest.mark.parametrize(
    ("text", "kind", "verdict"),
    [
        (EMV, Kind.EMV_MPM, Verdict.STRICT),
        (SHORT_OF_A_CITY, Kind.EMV_MPM, Verdict.NONCONFORMING),
        (EMV + "\n", Kind.EMV_MPM, Verdict.INVALID),
        ("\ufeff" + EMV, Kind.EMV_MPM, Verdict.INVALID),
        ("pay: " + EMV, Kind.EMV_MPM, Verdict.INVALID),
        (EMV[:40], Kind.EMV_MPM, Verdict.INVALID),
        ("5802CN" + EMV[:-8] + "63041234", Kind.EMV_MPM, Verdict.INVALID),
        (PAYER.emv, Kind.EMV_CPM, Verdict.STRICT),
        (PAYER.emv[:20], Kind.EMV_CPM, Verdict.INVALID),
        (PAYER.digits, Kind.BARCODE, Verdict.STRICT),
        ("134567890123456789", Kind.BARCODE, Verdict.STRICT),
        ("281234567890123456", Kind.BARCODE, Verdict.STRICT),
        ("301234567890123456789012", Kind.BARCODE, Verdict.STRICT),
        ("6212345678901234567", Kind.BARCODE, Verdict.STRICT),
        ("621234567890123456", Kind.OTHER, Verdict.INVALID),
        (LINK, Kind.LINK, Verdict.STRICT),
        (LINK.lower(), Kind.LINK, Verdict.STRICT),
        ("weixin://wxpay/bizpayurl?pr=abc", Kind.LINK, Verdict.STRICT),
        ("https://qr.alipay.com/bax00000", Kind.LINK, Verdict.STRICT),
        ("https://qr.95516.com/00010000/" + "1" * 32, Kind.LINK, Verdict.STRICT),
        ("upi://pay?pa=tea@bank&pn=Tea&am=10.00&cu=INR", Kind.LINK, Verdict.STRICT),
        ("UPI://PAY?PA=TEA@BANK", Kind.LINK, Verdict.STRICT),
        ("https://example.org/tea", Kind.LINK, Verdict.STRICT),
        ("hello", Kind.OTHER, Verdict.INVALID),
        ("", Kind.OTHER, Verdict.INVALID),
        ("163456789012345678", Kind.OTHER, Verdict.INVALID),
        ("javascript:alert(1)", Kind.OTHER, Verdict.INVALID),
    ],
)
def test_text_is_told_for_what_it_is(text: str, kind: Kind, verdict: Verdict) -> None:
    reading = read(text)
    assert (reading.kind, reading.verdict) == (kind, verdict)
    assert len(reading.issues) == len(reading.places)
    assert (reading.verdict is Verdict.STRICT) == (not reading.issues)
    json.dumps(reading.as_json())


def test_fields_name_house_and_code() -> None:
    assert read(LINK).fields == {
        "url": LINK,
        "house": "checkout",
        "origin": "http://192.168.1.20:8000",
        "code": "ABCDEFGHIJKLM",
    }
    assert read(PAYER.digits).fields["house"] == "checkout"
    assert read("6212345678901234567").fields["house"] == "unionpay"
    assert read("https://qr.alipay.com/bax00000").fields["house"] == "alipay"
    assert "house" not in read("https://example.org/tea").fields


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_has_a_reading(text: str) -> None:
    for candidate in (text, "000201" + text, "hQVDUFY" + text, "http://" + text):
        assert json.loads(json.dumps(read(candidate).as_json()))["verdict"] in set(Verdict)


def test_best_of_several_is_the_one_that_pays() -> None:
    assert best(["hello", EMV]).kind is Kind.EMV_MPM
    assert best([SHORT_OF_A_CITY, LINK]).kind is Kind.LINK
    assert best(["https://example.org/a", EMV]).text == EMV
    with pytest.raises(ValueError, match=r"^texts: "):
        best([])


FOREIGN = with_crc("00020126190007ORG.TEA01041234520458125303156540510.005802CN5903TEA6007BEIJING")
WALLET = "https://qr.alipay.com/bax00000"
POSTER = "https://example.org/menu"


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        ((POSTER, LINK), LINK),
        ((FOREIGN, LINK), LINK),
        ((WALLET, LINK), LINK),
        ((FOREIGN, EMV), EMV),
        ((POSTER, WALLET), WALLET),
        ((POSTER, SHORT_OF_A_CITY), SHORT_OF_A_CITY),
        ((POSTER, "134567890123456789"), "134567890123456789"),
        ((FOREIGN[:-1] + "!", POSTER), POSTER),
        ((WALLET, FOREIGN), FOREIGN),
        (("hello", POSTER), POSTER),
    ],
)
def test_own_code_wins_and_a_posters_address_comes_last(
    texts: tuple[str, ...], chosen: str
) -> None:
    assert mpm.parse(FOREIGN).verdict is Verdict.STRICT
    assert best(texts).text == chosen
    assert best(texts[::-1]).text == chosen


@pytest.mark.parametrize("name", ["code.png", "code.svg", "CODE.PNG"])
@pytest.mark.parametrize("form", ["link", "emv"])
def test_code_that_was_made_is_read(tmp_path: Path, name: str, form: str) -> None:
    text = qr.text_of_code(
        form=form,
        code="ABCDEFGHIJKLM",
        merchant=Merchant(),
        base_url="http://192.168.1.20:8000",
        key=KEY,
        amount=Money(amount_minor=1280, currency="CNY"),
    )
    made = qr.write(text, tmp_path / name)
    assert made.text == text
    found = qr.read(str(tmp_path / name))
    assert found.reading.text == text
    assert found.status == 0
    assert found.reading.kind == {"link": Kind.LINK, "emv": Kind.EMV_MPM}[form]


@pytest.mark.parametrize("name", ["sticker.png", "sticker.svg", "sheet.pdf"])
def test_sticker_is_written_in_every_form(tmp_path: Path, name: str) -> None:
    text = qr.text_of_code(
        form="emv",
        code="ABCDEFGHIJKLM",
        merchant=Merchant(),
        base_url="http://192.168.1.20:8000",
        key=KEY,
    )
    sticker = Sticker(text=text, payee="Lane Tea House", number="ABCDE-FGHIJ")
    qr.write_sticker(sticker, tmp_path / name, made_at=NOW)
    if name == "sticker.png":
        assert qr.read(str(tmp_path / name)).reading.text == text
    else:
        assert (tmp_path / name).stat().st_size > 1000


def test_exit_status_follows_verdict_and_leniency() -> None:
    assert qr.read(EMV).status == 0
    assert qr.read(SHORT_OF_A_CITY).status == 3
    assert qr.read(SHORT_OF_A_CITY, lenient=True).status == 0
    assert qr.read(EMV + "\n", lenient=True).status == 3
    assert qr.read("hello", lenient=True).status == 3


@pytest.mark.parametrize(("before", "after"), [("", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_text_file_is_read_without_the_marks_of_its_editor(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "payload.txt"
    path.write_bytes(f"{before}{EMV}{after}".encode())
    assert qr.read(str(path)).reading.verdict is Verdict.STRICT


def test_several_codes_in_a_picture_are_all_told(tmp_path: Path) -> None:
    import io

    from PIL import Image

    sheet = Image.new("L", (1400, 700), 255)
    for at, text in ((20, "hello"), (700, LINK)):
        sheet.paste(Image.open(io.BytesIO(rendering.png(text))), (at, 20))
    path = tmp_path / "two.png"
    sheet.save(path)
    found = qr.read(str(path))
    assert found.reading.text == LINK
    assert found.others == ("hello",)
    assert found.as_json()["others"] == ["hello"]


def test_files_that_hold_no_code_are_refused_in_one_line(tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    blank.write_bytes(b"not a picture at all")
    with pytest.raises(NotAnImage):
        qr.read(str(blank))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x00\x01\xff")
    with pytest.raises(NotAnImage):
        qr.read(str(binary))
    with pytest.raises(CodeFileError, match=r"^no such file: "):
        qr.read(str(tmp_path / "missing.png"))
    from PIL import Image

    Image.new("L", (200, 200), 255).save(blank)
    with pytest.raises(NoCode):
        qr.read(str(blank))


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b", "/", "."])
def test_texts_that_are_no_file_names_are_texts(text: str) -> None:
    assert qr.read(text).reading.kind is Kind.OTHER


def test_output_of_another_kind_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("code.gif", "code", "code.pdf"):
        with pytest.raises(CodeFileError, match=r"^out: expected a name that ends in"):
            qr.write("x", tmp_path / name)
        assert not (tmp_path / name).exists()


def test_people_are_told_names_and_broken_rules() -> None:
    lines = list(qr.describe(qr.read(SHORT_OF_A_CITY)))
    assert lines[0] == "emv-mpm: nonconforming"
    assert any("mandatory root tag 60 missing" in line for line in lines)
    assert any("merchant name" in line and "Lane Tea House" in line for line in lines)
    assert "  text  hello" in qr.describe(qr.read("hello"))
    assert any("5A" in line for line in qr.describe(qr.read(PAYER.emv)))
