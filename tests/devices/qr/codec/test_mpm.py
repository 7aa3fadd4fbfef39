"""The merchant-presented codec against the standard's own example, rule by rule, and round trip."""

from __future__ import annotations

import dataclasses
import doctest
import random
import string
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from devices.qr.codec import mpm
from devices.qr.codec.mpm import (
    AdditionalContent,
    LanguageTemplate,
    MerchantAccount,
    MerchantPresented,
    Template,
    Tip,
)
from devices.qr.codec.mpm_build import compose
from devices.qr.codec.mpm_objects import PRIMITIVE_ACCOUNTS
from devices.qr.codec.mpm_tlv import crc, join, split, with_crc
from devices.qr.codec.verdict import CodecError, Verdict

# EMVCo, QRCPS Merchant-Presented Mode 1.0, annex with the worked example.
ANNEX_B = (
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678"
    "520441115802CN5914BEST TRANSPORT6007BEIJING64200002ZH0104最佳运输0202北京540523.72"
    "53031565502016233030412340603***0708A60086670902ME"
    "91320016A0112233449988770708123456786304A13A"
)

NOT_COMPOSED = "{} format: {!r}, expected Unicode's composed form (NFC)"

NAMES = LanguageTemplate(language="ZH", name="茶馆")
PLAIN = MerchantPresented(
    accounts=(Template(id="26", guid="LANE.CHECKOUT.DEMO", objects=(("01", "1"),)),),
    mcc="5812",
    currency="156",
    country="CN",
    name="Lane Tea House",
    city="SHANGHAI",
    amount="12.80",
    dynamic=True,
)


def plain_objects() -> dict[str, str]:
    return {each.id: each.value for each in split(mpm.build(PLAIN)) if each.id != "63"}


def payload(replace: dict[str, str | None]) -> str:
    objects: dict[str, str | None] = {**plain_objects(), **replace}
    return with_crc(
        join(tuple((tag, value) for tag, value in objects.items() if value is not None))
    )


def test_example_in_the_documentation_runs() -> None:
    ran = doctest.testmod(mpm)
    assert (ran.attempted, ran.failed) == (2, 0)


def issues(text: str) -> tuple[str, ...]:
    return mpm.parse(text).issues


def test_worked_example_of_the_standard_is_strict_and_fully_read() -> None:
    reading = mpm.parse(ANNEX_B)
    assert (reading.verdict, reading.issues) == (Verdict.STRICT, ())
    assert reading.value("54") == "23.72"
    assert reading.value("59") == "BEST TRANSPORT"
    assert reading.value("64-01") == "最佳运输"
    assert reading.value("62-09") == "ME"
    assert reading.value("91-07") == "12345678"
    assert reading.value("29-05") == "A93FO3230Q"
    assert "63" not in reading.fields
    assert reading.value("29") is None
    assert reading.value("62-55") is None


def test_worked_example_can_be_built() -> None:
    built = mpm.build(
        MerchantPresented(
            accounts=(
                Template(id="29", guid="D15600000000", objects=(("05", "A93FO3230Q"),)),
                Template(id="31", guid="D15600000001", objects=(("03", "12345678"),)),
            ),
            mcc="4111",
            currency="156",
            country="CN",
            name="BEST TRANSPORT",
            city="BEIJING",
            amount="23.72",
            dynamic=True,
            tip=Tip(),
            additional=AdditionalContent(
                store_label="1234",
                customer_label="***",
                terminal_label="A6008667",
                consumer_request="ME",
            ),
            language=LanguageTemplate(language="ZH", name="最佳运输", city="北京"),
            unreserved=(Template(id="91", guid="A011223344998877", objects=(("07", "12345678"),)),),
        )
    )
    assert mpm.parse(built).fields == mpm.parse(ANNEX_B).fields
    assert len(built) == len(ANNEX_B)


def test_check_value_counts_bytes_where_lengths_count_characters() -> None:
    text = payload({"64": join((("00", "ZH"), ("01", "茶馆")))})
    assert "6412" in text
    assert mpm.parse(text).verdict is Verdict.STRICT
    assert text.endswith(crc(text[:-4]))
    assert crc("123456789") == "29B1"  # the catalogued check value of this CRC


@pytest.mark.parametrize(
    ("replace", "finding"),
    [
        ({"52": None}, "mandatory root tag 52 missing"),
        ({"60": None}, "mandatory root tag 60 missing"),
        ({"26": None}, "no merchant account information 02-51"),
        ({"00": "02"}, "00 is not the first object with value 01: ('00', '02')"),
        ({"00": None}, "00 is not the first object with value 01: ('01', '12')"),
        ({"01": "13"}, "01 RFU value 13"),
        ({"52": "58A2"}, "52 format: '58A2'"),
        ({"52": "１２３４"}, "52 format: '１２３４'"),
        ({"53": "15"}, "53 length 2 not in 3..3"),
        ({"54": "0.00"}, "54 format: '0.00'"),
        ({"54": "1.2.3"}, "54 format: '1.2.3'"),
        ({"54": "-1"}, "54 format: '-1'"),
        ({"54": ""}, "54 length 0 not in 1..13"),
        ({"54": "1.234"}, "54 has 3 decimals, currency 156 has 2"),
        ({"53": "392", "54": "1.0"}, "54 has 1 decimals, currency 392 has 0"),
        ({"55": "05"}, "55 RFU value 05"),
        ({"55": "02"}, "55=02 without 56"),
        ({"55": "03", "57": "0"}, "57 format: '0'"),
        ({"55": "03", "57": "100"}, "57 format: '100'"),
        ({"55": "01", "56": "5"}, "56 without 55=02"),
        ({"57": "5"}, "57 without 55=03"),
        ({"58": "cn"}, "58 format: 'cn'"),
        ({"59": "x" * 26}, "59 length 26 not in 1..25"),
        ({"59": "茶馆"}, "59 format: '茶馆'"),
        ({"61": "12345678901"}, "61 length 11 not in 1..10"),
        ({"62": "0526" + "x" * 26}, "62-05 length 26 not in 1..25"),
        ({"62": "0903AAM"}, "62-09 'AAM'"),
        ({"62": ""}, "62 length 0 not in 1..99"),
        ({"62": "05"}, "template 62: truncated header at 0"),
        ({"62": "0501x05"}, "template 62: truncated header at 5"),
        ({"62": "0501a0501b"}, "template 62: duplicate tag 05"),
        ({"64": "0002ZH"}, "mandatory tag 64-01 missing"),
        ({"26": "0101x"}, "template 26 has no GUID (00)"),
        ({"80": "0101x"}, "template 80 has no GUID (00)"),
        ({"26": "0033" + "x" * 33}, "26-00 length 33 not in 1..32"),
        ({"65": "x"}, "RFU root tag 65"),
        ({"53": "123"}, "53 123 is not in ISO 4217"),
        ({"53": "000"}, "53 000 is not in ISO 4217"),
        ({"58": "UK"}, "58 UK is not in ISO 3166-1"),
        ({"58": "EU"}, "58 EU is not in ISO 3166-1"),
        ({"62": "1021" + "9" * 21}, "62-10 length 21 not in 1..20"),
        ({"62": "1002é1"}, "62-10 format: 'é1'"),
        ({"62": "110230"}, "62-11 length 2 not in 3..3"),
        ({"62": "1103800"}, "62-11 format: '800'"),
        ({"62": "1103040"}, "62-11 format: '040'"),
        ({"62": "1103004"}, "62-11 format: '004'"),
        ({"62": "1201x"}, "RFU tag 62-12"),
        ({"62": "4901x"}, "RFU tag 62-49"),
        ({"62": "0500"}, "62-05 length 0 not in 1..25"),
        ({"62": "0900"}, "62-09 length 0 not in 1..99"),
        ({"62": "5000"}, "62-50 length 0 not in 1..99"),
        ({"62": "5004ijkl"}, "template 62-50: non-numeric tag/length at 0: ijkl"),
        ({"62": "50050101x"}, "template 62-50 has no GUID (00)"),
        ({"62": "99050101x"}, "template 62-99 has no GUID (00)"),
        ({"62": "50370033" + "x" * 33}, "62-50-00 length 33 not in 1..32"),
        ({"62": "50090001i0100"}, "62-50-01 length 0 not in 1..99"),
        ({"62": "50150001i0101a0101b"}, "template 62-50: duplicate tag 01"),
        ({"26": "0001i0100"}, "26-01 length 0 not in 1..99"),
        ({"26": "0001i0105Cafe\u0301"}, NOT_COMPOSED.format("26-01", "Cafe\u0301")),
        ({"26": "0000"}, "26-00 length 0 not in 1..32"),
        ({"80": "0001i0100"}, "80-01 length 0 not in 1..99"),
        ({"64": "0002ZH0101茶0304abcd"}, "RFU tag 64-03"),
        ({"64": "0002ZH0101茶9901x"}, "RFU tag 64-99"),
        ({"64": "0002ZH0101茶0200"}, "64-02 length 0 not in 1..15"),
        ({"64": "0002QQ0101茶"}, "64-00 QQ is not in ISO 639-1"),
        ({"64": "0002FR0105Cafe\u0301"}, NOT_COMPOSED.format("64-01", "Cafe\u0301")),
        (
            {"64": "0002KO0101a0203\u1112\u1161\u11ab"},
            NOT_COMPOSED.format("64-02", "\u1112\u1161\u11ab"),
        ),
    ],
)
def test_broken_rule_is_named_and_only_lenient_readers_go_on(
    replace: dict[str, str | None], finding: str
) -> None:
    reading = mpm.parse(payload(replace))
    assert any(each.startswith(finding) for each in reading.issues), reading.issues
    assert reading.verdict is Verdict.NONCONFORMING
    assert reading.accepted(lenient=True)
    assert not reading.accepted()
    with pytest.raises(CodecError):
        reading.require()


@pytest.mark.parametrize(
    "replace",
    [
        {"54": "98."},
        {"54": "98"},
        {"54": None},
        {"54": "1234567890.12"},
        {"55": "03", "57": "05"},
        {"55": "03", "57": "99.99"},
        {"55": "02", "56": "0.50"},
        {"15": "3" * 31},
        {"02": "0004hoge99"},
        {"62": "1004abcd50050001i"},
        {"62": "1020" + "9" * 20},
        {"62": "1103300"},
        {"62": "1103733"},
        {"64": "0002zh0101茶"},
        {"64": "0002FR0104Café"},
        {"53": "927", "54": "1.2345"},
        {"53": "999"},
        {"53": "414", "54": "1.234"},
    ],
)
def test_rare_but_legal_content_is_strict(replace: dict[str, str | None]) -> None:
    assert issues(payload(replace)) == ()


def test_primitive_accounts_are_never_parsed_as_templates() -> None:
    for tag in PRIMITIVE_ACCOUNTS:
        reading = mpm.parse(payload({tag: "0004hoge"}))
        assert reading.fields[tag] == "0004hoge"
        assert reading.verdict is Verdict.STRICT


@pytest.mark.parametrize(
    "second", ["540599.99", "540512.80", "26090005LANE.", "5902AB", "64120002ZH0102茶馆", "010212"]
)
def test_duplicate_root_object_is_invalid_in_both_modes(second: str) -> None:
    """Section 4.3.1.2: with two of an object, nobody knows which one is meant."""
    text = with_crc(mpm.build(dataclasses.replace(PLAIN, language=NAMES))[:-8] + second)
    reading = mpm.parse(text)
    (rule,) = (each for each in reading.broken if each.fatal)
    assert rule.text == f"duplicate root tag {second[:2]}"
    assert text[rule.position :].startswith(second)
    assert reading.verdict is Verdict.INVALID
    assert not reading.accepted(lenient=True)


@pytest.mark.parametrize("holder", [{"62": "0511REF"}, {"80": "0001i0108"}, {"61": ""}, {"59": ""}])
def test_end_of_another_object_is_no_check_value(holder: dict[str, str]) -> None:
    """Section 4.6.1.2: the CRC is an object of its own, id 63, the last one."""
    ((tag, start),) = holder.items()
    objects = {each: value for each, value in plain_objects().items() if each != tag}
    body = f"{start}6304"
    head = join(tuple(objects.items())) + f"{tag}{len(body) + 4:02}{body}"
    reading = mpm.parse(head + crc(head))
    assert reading.verdict is Verdict.INVALID
    assert "CRC object 6304xxxx is not the last object" in reading.issues
    assert not reading.accepted(lenient=True)


def test_objects_after_the_check_value_or_a_second_one_are_invalid() -> None:
    good = mpm.build(PLAIN)
    for text in (good + "6101x", with_crc(good), good[:-8] + "6303ABC", with_crc(good + "6101x")):
        reading = mpm.parse(text)
        assert reading.verdict is Verdict.INVALID
        assert not reading.accepted(lenient=True)


def test_position_of_a_broken_rule_inside_a_template_is_that_of_the_object() -> None:
    text = payload({"62": "0301a0903tuv"})
    (rule,) = mpm.parse(text).broken
    assert rule.field == "62-09"
    assert text[rule.position :].startswith("0903tuv")


def test_damaged_payloads_are_invalid_in_both_modes() -> None:
    good = mpm.build(PLAIN)
    wrong_digit = good[:-1] + ("0" if good[-1] != "0" else "1")
    for text, finding in (
        (wrong_digit, f"CRC: got {wrong_digit[-4:]}, computed {good[-4:]}"),
        (good[:-3], "TLV: tag 63 runs past the end (1<4)"),
        (good + " ", f"TLV: truncated header at {len(good)}"),
        (good.replace("5303", "530X"), "TLV: non-numeric tag/length at"),
        (good.replace("5303", "53٠3"), "TLV: non-numeric tag/length at"),
        ("", "CRC object 6304xxxx is not the last object"),
    ):
        reading = mpm.parse(text)
        assert reading.verdict is Verdict.INVALID
        assert not reading.accepted(lenient=True)
        assert any(each.startswith(finding) for each in reading.issues), reading.issues


def test_lower_case_check_value_is_a_broken_rule_not_damage() -> None:
    for number in range(100):
        good = mpm.build(dataclasses.replace(PLAIN, postal_code=str(number)))
        if good[-4:] != good[-4:].lower():
            break
    reading = mpm.parse(good[:-4] + good[-4:].lower())
    assert reading.verdict is Verdict.NONCONFORMING
    assert reading.broken[0].field == "63"


def test_bound_of_512_counts_bytes_where_text_is_multibyte() -> None:
    """Section 4.1: the number of characters is less where they take several bytes."""

    def presented(characters: int) -> MerchantPresented:
        unreserved = tuple(
            Template(id=str(80 + n), guid="LANE", objects=(("01", "茶" * count),))
            for n, count in enumerate((80, characters))
        )
        return dataclasses.replace(PLAIN, unreserved=unreserved)

    fits = next(n for n in range(80, 0, -1) if _size(presented(n)) <= 512)
    assert mpm.parse(mpm.build(presented(fits))).verdict is Verdict.STRICT
    with pytest.raises(CodecError, match=r"payload length 51\d not in 1\.\.512 bytes of UTF-8"):
        mpm.build(presented(fits + 1))


def _size(presented: MerchantPresented) -> int:
    return len(compose(presented).encode())


def test_payload_over_512_characters_breaks_a_rule() -> None:
    unreserved = tuple(
        Template(id=str(80 + n), guid="LANE", objects=(("01", "x" * 80),)) for n in range(5)
    )
    with pytest.raises(CodecError, match=r"payload length \d+ not in 1\.\.512"):
        mpm.build(dataclasses.replace(PLAIN, unreserved=unreserved))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "x" * 26}, "59"),
        ({"name": "x" * 100}, "59"),
        ({"amount": "12,80"}, "54"),
        ({"amount": "0"}, "54"),
        ({"country": "CHN"}, "58"),
        ({"accounts": ()}, "02-51"),
        ({"accounts": (MerchantAccount(id="26", value="x"),)}, "26"),
        ({"accounts": (Template(id="15", guid="x"),)}, "15"),
        ({"accounts": (Template(id="26", guid="x", objects=(("01", "y" * 100),)),)}, "26-01"),
        ({"tip": Tip(fixed="1", percentage="2")}, "55"),
        ({"tip": Tip(percentage="100")}, "57"),
        ({"additional": AdditionalContent(channel="12")}, "62-11"),
        ({"additional": AdditionalContent(channel="999")}, "62-11"),
        ({"additional": AdditionalContent(tax_id="x" * 21)}, "62-10"),
        ({"additional": AdditionalContent(templates=(Template(id="50", guid=""),))}, "62-50-00"),
        ({"accounts": (Template(id="26", guid="x", objects=(("01", ""),)),)}, "26-01"),
        ({"accounts": (Template(id="26", guid="x"), Template(id="26", guid="y"))}, "26"),
        ({"currency": "123"}, "53"),
        ({"country": "UK"}, "58"),
        ({"language": LanguageTemplate(language="QQ", name="x")}, "64-00"),
        ({"language": LanguageTemplate(language="FR", name="Cafe\u0301")}, "64-01"),
        ({"additional": AdditionalContent(consumer_request="AX")}, "62-09"),
        ({"additional": AdditionalContent(templates=(Template(id="49", guid="x"),))}, "49"),
        ({"language": LanguageTemplate(language="Z", name="x")}, "64-00"),
        ({"unreserved": (Template(id="79", guid="x"),)}, "79"),
    ],
)
def test_builder_refuses_what_breaks_a_rule_and_names_the_object(
    change: dict[str, object], field: str
) -> None:
    with pytest.raises(CodecError) as caught:
        mpm.build(dataclasses.replace(PLAIN, **change))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


ANS = st.text(alphabet=string.printable[:95], min_size=1, max_size=25)
ANY = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=15
).filter(lambda text: unicodedata.is_normalized("NFC", text))


def templates(ids: list[int]) -> st.SearchStrategy[tuple[Template, ...]]:
    return st.lists(st.sampled_from(ids), unique=True, max_size=2).flatmap(
        lambda chosen: st.tuples(
            *(
                st.builds(
                    Template,
                    id=st.just(f"{each:02}"),
                    guid=ANS,
                    objects=st.lists(
                        st.tuples(st.sampled_from(["01", "05", "99"]), ANS),
                        max_size=2,
                        unique_by=lambda pair: pair[0],
                    ).map(tuple),
                )
                for each in chosen
            )
        )
    )


PRESENTED = st.builds(
    MerchantPresented,
    accounts=st.one_of(
        st.tuples(st.builds(MerchantAccount, id=st.sampled_from(["02", "15", "25"]), value=ANS)),
        templates([26, 51]).filter(bool),
    ),
    mcc=st.from_regex(r"[0-9]{4}", fullmatch=True),
    currency=st.sampled_from(["156", "840", "978"]),
    country=st.sampled_from(["CN", "HK", "TH"]),
    name=ANS,
    city=st.text(alphabet=string.ascii_uppercase + " ", min_size=1, max_size=15),
    amount=st.none() | st.integers(1, 10**10 - 1).map(lambda n: f"{n // 100}.{n % 100:02}"),
    dynamic=st.sampled_from([None, True, False]),
    tip=st.none()
    | st.just(Tip())
    | st.builds(Tip, fixed=st.just("1.50"))
    | st.builds(Tip, percentage=st.sampled_from(["5", "05", "12.5", "99.99"])),
    postal_code=st.none() | st.from_regex(r"[0-9]{1,10}", fullmatch=True),
    additional=st.none()
    | st.builds(
        AdditionalContent,
        bill_number=st.none() | ANS,
        reference_label=st.none() | ANS,
        consumer_request=st.none() | st.sampled_from(["A", "EM", "AME"]),
        tax_id=st.none() | st.just("91310000X"),
        channel=st.none() | st.just("300"),
    ),
    language=st.none() | st.builds(LanguageTemplate, language=st.just("zh"), name=ANY, city=ANY),
    unreserved=templates([80, 99]),
)


@settings(deadline=None)
@given(PRESENTED)
def test_what_is_built_is_read_back_and_strict(presented: MerchantPresented) -> None:
    try:
        text = mpm.build(presented)
    except CodecError as error:
        # Only sizes can be wrong: the parts are valid one by one, their sum may be too long.
        assert "length" in str(error) or "99 characters" in str(error)
        return
    reading = mpm.parse(text)
    assert (reading.verdict, reading.issues) == (Verdict.STRICT, ())
    assert reading.value("59") == presented.name
    assert reading.value("54") == presented.amount
    for account in presented.accounts:
        if isinstance(account, MerchantAccount):
            assert reading.value(account.id) == account.value
        else:
            assert reading.fields[account.id] == {"00": account.guid, **dict(account.objects)}
    for template in presented.unreserved:
        assert reading.fields[template.id] == {"00": template.guid, **dict(template.objects)}
    if presented.language:
        assert reading.value("64-01") == presented.language.name
    if presented.additional:
        assert reading.value("62-05") == presented.additional.reference_label


def mutated(text: str, rng: random.Random) -> str:
    letters = string.printable + "最é０\ud800\x00"
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:at] + text[at + rng.randint(1, 6) :]
        elif kind == 1:
            text = text[:at] + rng.choice(letters) + text[at:]
        elif kind == 2:
            text = text[:at] + rng.choice(letters) + text[at + 1 :]
        else:
            text = text[:at] + text[at - rng.randint(0, 12) :]
    return with_crc(text[:-8]) if rng.random() < 0.5 else text


def check_mutations(count: int, seed: int) -> set[Verdict]:
    rng = random.Random(seed)
    sources = [ANNEX_B, mpm.build(PLAIN)]
    verdicts = set()
    for _ in range(count):
        reading = mpm.parse(mutated(rng.choice(sources), rng))
        assert (reading.verdict is Verdict.STRICT) == (not reading.broken)
        assert all(0 <= rule.position <= len(reading.text) for rule in reading.broken)
        verdicts.add(reading.verdict)
    return verdicts


def test_mutated_payloads_get_a_verdict_and_no_exception() -> None:
    assert check_mutations(3_000, seed=1) == set(Verdict)


@pytest.mark.long
def test_hundred_thousand_mutated_payloads_get_a_verdict() -> None:
    assert check_mutations(100_000, seed=2) == set(Verdict)


def test_codecs_load_no_library_but_pythons_own() -> None:
    program = (
        "import sys; before = set(sys.modules); import devices.qr.codec; "
        "print(*(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"devices"}
    assert "fcntl" not in loaded
