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


def application(*objects: BerObject) -> BerObject:
    return BerObject("61", (BerObject("4F", AID), BerObject("5A", bytes(8)), *objects))


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
    assert finding in reading.issues
    assert reading.accepted(lenient=True)
    assert not reading.accepted()


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
        track2=st.none() | st.binary(min_size=1, max_size=19),
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
