"""The consumer-presented codec against the standard's own examples, rule by rule, round trip."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given, settings, strategies as st

from devices.qr.codec import ber_tlv, cpm
from devices.qr.codec.ber_tlv import BerObject
from devices.qr.codec.cpm import Application, ConsumerPresented
from devices.qr.codec.verdict import CodecError, Verdict

# EMVCo, QRCPS Consumer-Presented Mode 1.0, annex with worked examples.
ONE_APPLICATION = "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8="
TWO_APPLICATIONS = (
    "hQVDUFYwMWETTwegAAAAVVVVUAhQcm9kdWN0MWETTwegAAAAZmZmUAhQcm9kdWN0MmJJWggSNFZ4kBI0WF8gDkNB"
    "UkRIT0xERVIvRU1WXy0IcnVlc2RlZW5kIZ8QBwYBCgMAAACfJghYT9OF+iNLzJ82AgABnzcEbVjvEw=="
)
AID = bytes.fromhex("A000000333010101")
FORMAT = BerObject("85", b"CPV01")


def payload(*objects: BerObject) -> str:
    return base64.b64encode(ber_tlv.encode(objects)).decode()


def hexed(digits: str) -> bytes:
    """The bytes of `digits`, with an F at the end of an odd number of them."""
    return bytes.fromhex(digits + "F" * (len(digits) % 2))


def wrong(tag: str) -> str:
    """How the message on an object of wrong form begins."""
    return f"{tag} format: expected "


def application(*objects: BerObject) -> BerObject:
    return BerObject("61", (BerObject("4F", AID), BerObject("5A", bytes(8)), *objects))


#: Template 61 without an AID; it has a number that nobody may use.
SKIPPED = BerObject("61", (BerObject("50", b"A"), BerObject("5A", bytes.fromhex("9999"))))
#: Bytes that are not BER-TLV.
BLOB = b"\x01\xff\x7f"
ODD = BerObject("01", b"")


def with_content(tag: str, content: bytes) -> BerObject:
    """A template whose content need not be BER-TLV."""
    return BerObject(tag, content)


def filled(*objects: BerObject) -> str:
    """The payload with filler 00 before each object but the first, inside templates too."""

    def encoded(each: BerObject) -> bytes:
        if each.objects:
            inner = b"".join(b"\0" + encoded(one) for one in each.objects) + b"\0\0"
            return ber_tlv.encode((BerObject(each.tag, inner),))
        return ber_tlv.encode((each,))

    return base64.b64encode(b"\0\0".join(map(encoded, objects)) + b"\0").decode()


def test_examples_of_the_standard_are_strict() -> None:
    one = cpm.parse(ONE_APPLICATION)
    assert (one.verdict, one.issues) == (Verdict.STRICT, ())
    assert one.fields == {
        "85": "CPV01",
        "61": {"4F": "A0000000555555", "57": "1234567890123458D191220112345F"},
    }
    two = cpm.parse(TWO_APPLICATIONS)
    assert two.verdict is Verdict.STRICT
    assert two.fields["61"] == [
        {"4F": "A0000000555555", "50": "Product1"},
        {"4F": "A0000000666666", "50": "Product2"},
    ]
    assert isinstance(two.fields["62"], dict)
    assert two.fields["62"]["5A"] == "1234567890123458"
    assert two.find("9F36") == b"\x00\x01"
    assert two.find("9F99") is None


def test_examples_of_the_standard_can_be_built() -> None:
    assert (
        cpm.build(
            ConsumerPresented(
                applications=(
                    Application(
                        aid=bytes.fromhex("A0000000555555"),
                        track2=bytes.fromhex("1234567890123458D191220112345F"),
                    ),
                )
            )
        )
        == ONE_APPLICATION
    )
    built = cpm.build(
        ConsumerPresented(
            applications=(
                Application(aid=bytes.fromhex("A0000000555555"), label="Product1"),
                Application(aid=bytes.fromhex("A0000000666666"), label="Product2"),
            ),
            pan="1234567890123458",
            further=(
                BerObject("5F20", b"CARDHOLDER/EMV"),
                BerObject("5F2D", b"ruesdeen"),
            ),
            transparent=(
                BerObject("9F10", bytes.fromhex("06010A03000000")),
                BerObject("9F26", bytes.fromhex("584FD385FA234BCC")),
                BerObject("9F36", bytes.fromhex("0001")),
                BerObject("9F37", bytes.fromhex("6D58EF13")),
            ),
        )
    )
    assert built == TWO_APPLICATIONS


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (payload(application()), "85 is not the first object with value CPV01"),
        (
            payload(BerObject("85", b"CPV02"), application()),
            "85 is not the first object with value CPV01",
        ),
        (payload(application(), FORMAT), "85 is not the first object with value CPV01"),
        (payload(FORMAT), "no application template 61"),
        (
            payload(FORMAT, BerObject("61", (BerObject("5A", bytes(8)),))),
            "template 61 has no AID (4F)",
        ),
        (
            payload(FORMAT, BerObject("61", (BerObject("4F", AID[:4]), BerObject("5A", bytes(8))))),
            "no template 61 has a usable AID (4F)",
        ),
        (
            payload(FORMAT, SKIPPED, BerObject("61", (BerObject("4F", AID),))),
            "neither 57 nor 5A in 61 or 62",
        ),
        (
            payload(FORMAT, application(), BerObject("73", BLOB)),
            "TLV: tag 01 has a length of unknown form FF",
        ),
        (
            payload(FORMAT, BerObject("61", (BerObject("4F", AID),))),
            "neither 57 nor 5A in 61 or 62",
        ),
        (
            payload(
                FORMAT,
                application(BerObject("5F20", b"A/")),
                BerObject("62", (BerObject("5F20", b"B/"),)),
            ),
            "same data object in 61 and 62 (5F20)",
        ),
        (
            payload(FORMAT, application(BerObject("50", b"a"), BerObject("50", b"b"))),
            "duplicate tag 50 in 61",
        ),
        (
            payload(FORMAT, application(), BerObject("62", ()), BerObject("62", ())),
            "duplicate template 62",
        ),
        ("hQVDUFYwMWEaTwegAAAAVVVV", "TLV: tag 61 runs past the end (9<26)"),
        ("hQVDUFYwMQ", "payload is not base64"),
        ("hQVDUFYwMQ==\n", "payload is not base64"),
        ("最佳", "payload is not base64"),
        (base64.b64encode(b"\x9f").decode(), "TLV: truncated tag at 0"),
        (base64.b64encode(b"\x85").decode(), "TLV: tag 85 has no length"),
        (base64.b64encode(b"\x85\x80").decode(), "TLV: tag 85 has a length of unknown form 80"),
        (base64.b64encode(b"\x85\x82\x01").decode(), "TLV: tag 85 has a length cut short"),
        (base64.b64encode(b"\x9f\x81\x81\x81\x01\x00").decode(), "TLV: tag of 5 bytes at 0"),
    ],
)
def test_unusable_payload_is_invalid_and_says_why(text: str, finding: str) -> None:
    reading = cpm.parse(text)
    assert reading.verdict is Verdict.INVALID
    assert finding in reading.issues


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (payload(FORMAT, application(), BerObject("9F01", b"x")), "tag 9F01 outside a template"),
        (
            payload(FORMAT, application(BerObject("64", ()))),
            "template 64 in 61, expected 63",
        ),
        (
            payload(FORMAT, application(BerObject("50", b"x" * 17))),
            "50 length 17 not in 1..16",
        ),
        (payload(FORMAT, SKIPPED, application()), "template 61 has no AID (4F)"),
        (payload(FORMAT, application(), SKIPPED), "template 61 has no AID (4F)"),
        (
            payload(FORMAT, BerObject("61", (BerObject("4F", AID[:4]),)), application()),
            "4F length 4 not in 5..16",
        ),
        (payload(FORMAT, *[application()] * 3), "3 templates 61, at most 2"),
        (
            payload(FORMAT, BerObject("E1", ()), application()),
            "template 61 after E1, expected before it",
        ),
        (
            payload(FORMAT, BerObject("62", ()), application()),
            "template 61 after 62, expected before it",
        ),
        (
            payload(FORMAT, application(), BerObject("E1", ()), BerObject("62", ())),
            "template 62 after E1, expected before it",
        ),
        (payload(FORMAT, application(), BerObject("63", ())), "tag 63 outside a template"),
        (payload(FORMAT, application(BerObject("50", b"a-b"))), wrong("50")),
        (payload(FORMAT, application(BerObject("50", b"caf\xe9"))), wrong("50")),
        (payload(FORMAT, application(BerObject("57", hexed("6212345678901232")))), wrong("57")),
        (payload(FORMAT, application(BerObject("57", hexed("6212345678901232D24F")))), wrong("57")),
        (
            payload(FORMAT, application(BerObject("57", hexed("6212D2412201FF")))),
            wrong("57"),
        ),
        (
            payload(FORMAT, application(BerObject("57", hexed("D2412201")))),
            wrong("57"),
        ),
        (
            payload(FORMAT, BerObject("61", (BerObject("4F", AID), BerObject("5A", bytes(10))))),
            wrong("5A"),
        ),
        (payload(FORMAT, application(BerObject("5F20", b"A/\n"))), wrong("5F20")),
        (payload(FORMAT, application(BerObject("5F2D", b"zhe"))), wrong("5F2D")),
        (payload(FORMAT, application(BerObject("5F2D", b"zhqq"))), wrong("5F2D")),
        (payload(FORMAT, application(BerObject("5F2D", b"z1"))), wrong("5F2D")),
        (payload(FORMAT, application(BerObject("9F19", hexed("112233445566")))), wrong("9F19")),
        (payload(FORMAT, application(BerObject("9F24", b"a" * 29))), wrong("9F24")),
        (payload(FORMAT, application(BerObject("9F24", b"A-" * 14 + b"A"))), wrong("9F24")),
        (payload(FORMAT, application(BerObject("9F25", hexed("12AB")))), wrong("9F25")),
        (
            payload(FORMAT, BerObject("61", (BerObject("4F", AID), BerObject("5A", b"\xab")))),
            "5A format: expected digits, then at most one F",
        ),
        (
            payload(FORMAT, application(BerObject("63", (BerObject("9F10", bytes(400)),)))),
            "payload length 588 not in 1..512",
        ),
    ],
)
def test_odd_payload_is_left_to_lenient_readers(text: str, finding: str) -> None:
    reading = cpm.parse(text)
    assert reading.verdict is Verdict.NONCONFORMING
    assert any(each.startswith(finding) for each in reading.issues), reading.issues
    assert reading.accepted(lenient=True)
    assert not reading.accepted()


@pytest.mark.parametrize(
    "text",
    [
        payload(FORMAT, application(), BerObject("E1", (ODD,))),
        payload(
            FORMAT, application(), BerObject("62", ()), BerObject("E1", ()), BerObject("F2", ())
        ),
        payload(FORMAT, application(), application()),
        payload(FORMAT, application(with_content("63", BLOB))),
        payload(FORMAT, application(), BerObject("62", (with_content("64", BLOB),))),
        payload(
            FORMAT,
            application(BerObject("9F10", b"\1"), BerObject("63", (BerObject("9F10", b"\2"),))),
        ),
        payload(
            FORMAT,
            application(BerObject("63", (BerObject("9F10", b"\1"), BerObject("9F10", b"\1")))),
            BerObject(
                "62", (BerObject("64", (BerObject("9F10", b"\2"), BerObject("5A", b"\x12"))),)
            ),
        ),
        filled(FORMAT, application(BerObject("63", (BerObject("9F10", b"\1"),)))),
        payload(FORMAT, application(BerObject("57", hexed("6212345678901232D2412201")))),
        payload(FORMAT, application(BerObject("57", hexed("621234567890123D24122011")))),
        payload(FORMAT, application(BerObject("57", hexed("6212345678901232D24122011F")))),
        payload(FORMAT, application(BerObject("9F24", b"Q1" * 14 + b"X"))),
        payload(FORMAT, application(BerObject("5F2D", b"ZHen"))),
        payload(FORMAT, application(BerObject("9F19", hexed("012233445566")))),
    ],
)
def test_rare_but_legal_payload_is_strict(text: str) -> None:
    reading = cpm.parse(text)
    assert (reading.verdict, reading.issues) == (Verdict.STRICT, ())


def test_number_comes_from_a_usable_template_and_not_from_transparent_data() -> None:
    hidden = BerObject("63", (BerObject("5A", hexed("1111")), BerObject("9F26", b"\7")))
    own = BerObject("61", (BerObject("4F", AID), hidden, BerObject("5A", hexed("6212"))))
    reading = cpm.parse(payload(FORMAT, SKIPPED, own))
    assert reading.find("5A") == hexed("6212")
    assert reading.find("9F26") == b"\7"


def test_opaque_transparent_data_is_kept_as_bytes() -> None:
    reading = cpm.parse(payload(FORMAT, application(with_content("63", BLOB))))
    fields = reading.fields["61"]
    assert isinstance(fields, dict)
    assert fields["63"] == "01FF7F"
    assert reading.find("63") == BLOB


def test_templates_nested_without_end_are_refused() -> None:
    nested = b""
    for _ in range(40):
        nested = b"\x61" + bytes([len(nested)]) + nested
    reading = cpm.parse(base64.b64encode(nested).decode())
    assert reading.verdict is Verdict.INVALID
    assert reading.issues == ("TLV: templates nested deeper than 8",)


@pytest.mark.parametrize(
    "presented",
    [
        ConsumerPresented(applications=()),
        ConsumerPresented(applications=(Application(aid=AID),)),
        ConsumerPresented(applications=(Application(aid=b"", pan="99990110000000"),)),
        ConsumerPresented(applications=(Application(aid=AID, pan="9999x"),)),
        ConsumerPresented(applications=(Application(aid=AID[:4], pan="99990110000000"),)),
        ConsumerPresented(applications=(Application(aid=AID, track2=hexed("6212")),)),
        ConsumerPresented(applications=(Application(aid=AID, pan="99990110000000", label="a-b"),)),
        ConsumerPresented(applications=(Application(aid=AID, pan="99990110000000"),) * 3),
        ConsumerPresented(applications=(Application(aid=AID, pan="99990110000000", label="茶"),)),
        ConsumerPresented(
            applications=(Application(aid=AID, pan="99990110000000"),), pan="99990110000000"
        ),
        ConsumerPresented(
            applications=(
                Application(aid=AID, pan="99990110000000", further=(BerObject("XY", b""),)),
            )
        ),
    ],
)
def test_builder_refuses_what_breaks_a_rule(presented: ConsumerPresented) -> None:
    with pytest.raises(CodecError) as caught:
        cpm.build(presented)
    assert "\n" not in str(caught.value)


OBJECTS = st.lists(
    st.tuples(
        st.sampled_from(["9F26", "9F27", "9F10", "9F36", "82", "9F37"]), st.binary(max_size=20)
    ),
    unique_by=lambda pair: pair[0],
    max_size=6,
).map(lambda pairs: tuple(BerObject(tag, value) for tag, value in pairs))


@settings(deadline=None)
@given(
    st.builds(
        Application,
        aid=st.binary(min_size=5, max_size=16),
        label=st.none() | st.from_regex(r"[A-Za-z0-9 ]{1,16}", fullmatch=True),
        track2=st.none()
        | st.from_regex(r"[0-9]{12,18}D[0-9]{7}[0-9]{0,10}", fullmatch=True).map(
            lambda digits: bytes.fromhex(digits + "F" * (len(digits) % 2))
        ),
        pan=st.from_regex(r"9999[0-9]{4,15}", fullmatch=True),
        transparent=OBJECTS,
    )
)
def test_what_is_built_is_read_back_and_strict(application: Application) -> None:
    text = cpm.build(ConsumerPresented(applications=(application,)))
    assert text.startswith(cpm.PREFIX)
    reading = cpm.parse(text)
    assert (reading.verdict, reading.issues) == (Verdict.STRICT, ())
    assert reading.find("4F") == application.aid
    assert reading.find("57") == application.track2
    fields = reading.fields["61"]
    assert isinstance(fields, dict)
    assert fields["5A"] == application.pan
    for each in application.transparent:
        assert reading.find(each.tag) == each.content


def check_mutations(count: int, seed: int) -> set[Verdict]:
    rng = random.Random(seed)
    sources = [base64.b64decode(each) for each in (ONE_APPLICATION, TWO_APPLICATIONS)]
    verdicts = set()
    for _ in range(count):
        content = bytearray(rng.choice(sources))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(content))
            if rng.random() < 0.7:
                content[at] = rng.randrange(256)
            else:
                del content[at : at + rng.randint(1, 4)]
        text = base64.b64encode(content).decode()
        if rng.random() < 0.2:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice("=é\n *") + text[at:]
        reading = cpm.parse(text)
        assert (reading.verdict is Verdict.STRICT) == (not reading.broken)
        verdicts.add(reading.verdict)
    return verdicts


def test_mutated_payloads_get_a_verdict_and_no_exception() -> None:
    assert check_mutations(3_000, seed=1) == set(Verdict)


@pytest.mark.long
def test_hundred_thousand_mutated_payloads_get_a_verdict() -> None:
    assert check_mutations(100_000, seed=2) == set(Verdict)
