"""The UnionPay and Visa kernels: a card that answers GPO with its cryptogram."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from devices.nfc.emv.ber_tlv import find, parse
from devices.nfc.kernel import Cvm, Outcome, TapResult, TerminalData, load_terminal
from devices.nfc.kernel.oda import CardEvidence, authenticate_dynamic
from tests.devices.nfc.kernel.kernel_cards import (
    PAN,
    TODAY,
    UNIONPAY,
    VISA,
    CardMaker,
    ScriptedCard,
    entry,
    fci,
    ppse,
    private_key,
    quick_answer,
    quick_card,
    tap,
    tlv,
    track2,
)

OFFLINE = load_terminal("china").with_limits(floor=5000)
SCHEMES = pytest.mark.parametrize("aid", [UNIONPAY, VISA], ids=["unionpay", "visa"])
OVER = 120000


def with_ttq(ttq: str, terminal: TerminalData | None = None) -> TerminalData:
    base = terminal or load_terminal("china")
    apps = tuple(
        replace(app, ttq=bytes.fromhex(ttq)) if app.ttq else app for app in base.applications
    )
    return replace(base, applications=apps)


@SCHEMES
def test_an_online_answer_without_afl_goes_online_with_its_icc_data(aid: bytes) -> None:
    card = quick_card(aid)
    result = tap(card)
    assert (result.outcome, result.cryptogram, result.cvm) == ("online-request", "ARQC", "none")
    assert (result.pan, result.psn, result.expiry) == (PAN, "01", "3012")
    assert result.track2 == f"{PAN}=30122010000000000"
    assert (result.oda.verdict, result.oda.reason) == ("not-performed", "no-card-data")
    assert result.no_pin
    icc = {node.tag: node.value for node in parse(result.icc or b"")}
    assert icc[0x9F26] == b"\x11" * 8
    assert icc[0x95] == bytes(5)
    assert icc[0x9F37] == result.unpredictable_number
    assert (icc[0x84], icc[0x9A].hex(), icc[0x9F02].hex()) == (aid, "250601", "000000001280")
    assert len(card.commands) == 3


@SCHEMES
@pytest.mark.parametrize(
    ("iad", "outcome"),
    [
        ("07010103A00000", "online-request"),
        ("07010103900000", "offline-approved"),
        ("07010103800000", "offline-declined"),
        ("06011203A00000", "online-request"),
        # format 2, as live cards and phones send it: version, key index, five bytes of CVR, of
        # which the second is byte 5 of 9F10 (Book C-3; 9F27 = 80 stood beside such a 9F10)
        ("1F220100A0" + "00" * 27, "online-request"),
        ("1F4A6332A0" + "00" * 27, "online-request"),
        ("1F22010090" + "00" * 27, "offline-approved"),
        ("1F2201A080" + "00" * 27, "offline-declined"),
        ("0701", "offline-declined"),
    ],
)
def test_without_cid_the_decision_is_read_from_the_iad(aid: bytes, iad: str, outcome: str) -> None:
    made = maker(aid)
    card = signing_card(made, aid, cid=None, iad=iad)
    assert tap(card, terminal=OFFLINE, ring=made.ring()).outcome == outcome


@SCHEMES
@pytest.mark.parametrize("tag", ["9F26", "9F36", "9F10", "57", "82"])
def test_an_answer_without_what_an_authorisation_needs_is_turned_away(aid: bytes, tag: str) -> None:
    nodes = parse(quick_answer())[0].children
    rest = b"".join(node.to_bytes() for node in nodes if node.tag != int(tag, 16))
    result = tap(quick_card(aid, tlv("77", rest)))
    assert result.outcome is Outcome.TRY_ANOTHER_CARD


@SCHEMES
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (0x6984, "use-another-interface"),
        (0x6985, "try-another-card"),
        (0x6986, "see-phone"),
        (0x6A81, "try-another-card"),
        (0x6A82, "try-another-card"),
        (0x6283, "try-another-card"),
        (0x6700, "try-another-card"),
        (b"", "try-another-card"),
        (b"\x77\x10\x82", "try-another-card"),
        (tlv("70", tlv("82", "2000")), "try-another-card"),
        (quick_answer() + tlv("82", "2000"), "try-another-card"),
        (tlv("80", "2000"), "try-another-card"),
        (tlv("80", "20"), "try-another-card"),
        (quick_answer(cid="C0"), "try-another-card"),
        (quick_answer(cid="00"), "offline-declined"),
        (quick_answer(more=tlv("94", "0801")), "try-another-card"),
        (quick_answer(more=tlv("94", "00010100")), "try-another-card"),
        (quick_answer(more=tlv("94", "08000100")), "try-another-card"),
        (quick_answer(more=tlv("94", "08020100")), "try-another-card"),
        (quick_answer(more=tlv("94", "08010102")), "try-another-card"),
        (quick_answer(more=tlv("94", "0801FF00")), "try-another-card"),
        (quick_answer(more=tlv("94", "08010100")), "try-another-card"),  # record missing
        (quick_answer(more=tlv("57", track2("9999990000000020"))), "try-another-card"),
        (quick_answer(more=tlv("5A", "9999990000000020")), "try-another-card"),
        (quick_answer(more=tlv("5F34", "01")), "online-request"),  # repeated, the same value
    ],
)
def test_every_odd_answer_to_gpo_has_its_outcome(
    aid: bytes, answer: bytes | int, outcome: str
) -> None:
    result = tap(quick_card(aid, answer))
    assert result.outcome == outcome, result.reason
    assert result.reason


def test_format_1_brings_aip_and_afl_and_the_records_the_rest() -> None:
    inner = parse(quick_answer())[0].children
    rest = b"".join(node.to_bytes() for node in inner if node.tag != 0x82)
    card = quick_card(UNIONPAY, tlv("80", "2000", "08010100"), records={(1, 1): tlv("70", rest)})
    assert tap(card).outcome is Outcome.ONLINE_REQUEST


@pytest.mark.parametrize(
    "pdol",
    [
        "9F3704 9F3704 9F0206",  # the same tag twice
        "DF7F05 9F6604 FFEE0102",  # tags that no terminal knows
        "9F6604 9F0208 9F1A01 5F2A03 9A02",  # other lengths than the terminal's
        "9F6600 9F3704",
        None,
    ],
)
def test_whatever_the_pdol_asks_is_filled_to_its_length(pdol: str | None) -> None:
    card = quick_card()
    card.applications[UNIONPAY] = fci(UNIONPAY, pdol=pdol)
    result = tap(card, number=b"\x01\x02\x03\x04")
    assert result.outcome is Outcome.ONLINE_REQUEST
    expected = {
        "9F3704 9F3704 9F0206": "0102030401020304000000001280",
        "DF7F05 9F6604 FFEE0102": "0000000000 27804080 0000",
        "9F6604 9F0208 9F1A01 5F2A03 9A02": "27804080 0000000000001280 56 000156 0601",
        "9F6600 9F3704": "01020304",
        None: "",
    }[pdol]
    values = bytes.fromhex(expected)
    assert card.commands[2][5:-1] == b"\x83" + bytes((len(values),)) + values


@pytest.mark.parametrize("pdol", ["9F66", "9F6604 9F81", "9F37FF 9F37FF"])
def test_a_pdol_that_cannot_be_filled_gives_the_application_up(pdol: str) -> None:
    card = quick_card()
    card.applications[UNIONPAY] = fci(UNIONPAY, pdol=pdol)
    assert tap(card).outcome is Outcome.TRY_ANOTHER_CARD
    assert len(card.commands) == 2


@SCHEMES
def test_a_counter_of_another_length_is_not_told(aid: bytes) -> None:
    answer = quick_answer().replace(bytes.fromhex("9F3602"), bytes.fromhex("9F3603FF"))
    result = tap(quick_card(aid, answer[:1] + bytes((answer[1] + 1,)) + answer[2:]))
    assert (result.outcome, result.atc) == ("try-another-card", None)


# Offline data authentication


def maker(aid: bytes, **changes: Any) -> CardMaker:
    keys = {"ca": private_key(1408), "issuer": private_key(1152), "icc": private_key(1024)}
    return CardMaker(**keys, rid=aid[:5], aip=b"\x20\x00", **changes)


def signing_card(
    made: CardMaker,
    aid: bytes,
    *,
    version: str | None = "01",
    cid: str | None = "40",
    iad: str = "07010103900000",
    ctq: str | None = None,
    covered: Any = None,
    in_record: bool = False,
    data_format: int = 0x05,
) -> ScriptedCard:
    """A card whose records hold its certificates and that signs at GPO."""

    def options(command: bytes) -> bytes:
        values = command[7:-1]
        number, amount, currency = values[29:33], values[4:10], values[23:25]
        related = b"" if version is None else bytes.fromhex(f"{version}CAFEBABE{ctq or '0000'}")
        signed = number if version in (None, "00") else number + amount + currency + related
        if covered is not None:
            signed = covered(number, amount, currency)
        proof = tlv("9F4B", made.dynamic_signature(b"\x02\x00\x07", signed, data_format))
        if related:
            proof += tlv("9F69", related)
        more = tlv("94", "08010301")
        card.records[(1, 3)] = tlv("70", static[0x9F4A], proof if in_record else b"")
        return quick_answer(cid=cid, iad=iad, ctq=ctq, more=more + (b"" if in_record else proof))

    static: dict[int, bytes] = {
        tag: tlv(f"{tag:X}", value) for tag, value in made.card().items() if tag != 0x9F4B
    }
    first = tlv("70", made.record())
    keys = b"".join(static[tag] for tag in (0x8F, 0x9F32, 0x92, 0x9F47, 0x9F48) if tag in static)
    card = quick_card(aid, options)
    card.records = {(1, 1): first, (1, 2): tlv("70", static[0x90], keys)}
    card.records[(1, 3)] = tlv("70", static[0x9F4A])
    card.records[(1, 2)] = tlv("70", static[0x90], keys)
    card.records[(1, 4)] = b""
    certificate = tlv("70", static[0x9F46])
    card.records[(2, 1)] = certificate
    original = card.options

    def with_certificate(command: bytes) -> bytes:
        body = parse(original(command))[0].value  # type: ignore[operator,misc]
        return tlv("77", body.replace(tlv("94", "08010301"), tlv("94", "08010301 10010100")))

    card.options = with_certificate
    return card


def offline_tap(card: ScriptedCard, made: CardMaker, **changes: Any) -> TapResult:
    return tap(card, **{"terminal": OFFLINE, "ring": made.ring(), **changes})


@SCHEMES
@pytest.mark.parametrize("in_record", [False, True], ids=["in-gpo", "in-record"])
def test_fdda_of_version_01_approves_offline(aid: bytes, in_record: bool) -> None:
    made = maker(aid)
    result = offline_tap(signing_card(made, aid, version="01", in_record=in_record), made)
    assert (result.outcome, result.reason) == (
        "offline-approved",
        "card and terminal approved offline",
    )
    assert (result.oda.method, result.oda.verdict, result.tvr) == ("fDDA", "passed", bytes(5))


@SCHEMES
@pytest.mark.parametrize("cid", ["40", "80"])
@pytest.mark.parametrize("in_record", [False, True], ids=["in-gpo", "in-record"])
@pytest.mark.parametrize("version", ["00", None])
def test_a_signature_without_the_amount_proves_nothing_about_it(
    aid: bytes, version: str | None, in_record: bool, cid: str
) -> None:
    # Version 00 of fDDA, and a card without 9F69, sign the unpredictable number alone
    made = maker(aid)
    card = signing_card(made, aid, version=version, in_record=in_record, cid=cid)
    result = offline_tap(card, made)
    assert (result.outcome, result.oda.verdict) == ("offline-declined", "failed")
    assert result.tvr[0] & 0x08
    reason = "fdda-amount-unsigned" if version else "fdda-values-missing"
    if version is None and aid == UNIONPAY:
        reason = "dynamic-signature-hash"
    assert result.oda.reason == reason


@pytest.mark.parametrize(
    ("aid", "data_format", "passed"),
    [(VISA, 0x95, True), (VISA, 0x05, True), (VISA, 0x15, False), (VISA, 0x00, False),
     (UNIONPAY, 0x05, True), (UNIONPAY, 0x95, False)],
)  # fmt: skip
@pytest.mark.parametrize("cid", ["40", "80"])
def test_visa_signs_fdda_in_format_95_or_05(
    aid: bytes, data_format: int, passed: bool, cid: str
) -> None:
    # Live Visa cards sign with 95, an older test card with 05. No contactless UnionPay card with
    # public keys is known: there 05 alone holds, as EMV Book 2, table 15, has it.
    made = maker(aid)
    result = offline_tap(signing_card(made, aid, cid=cid, data_format=data_format), made)
    assert result.oda.passed == passed
    if not passed:
        assert result.oda.reason == "dynamic-signature-format"
        assert result.outcome is Outcome.OFFLINE_DECLINED


@pytest.mark.parametrize("data_format", [0x95, 0x05])
@pytest.mark.parametrize("where", [0, 1, 20, 63, 90, 127])
def test_one_flipped_bit_of_either_format_fails(data_format: int, where: int) -> None:
    made = maker(VISA)
    card = signing_card(made, VISA, data_format=data_format)
    honest = card.options

    def flipped(command: bytes) -> bytes:
        answer = bytearray(honest(command))  # type: ignore[operator,arg-type]
        answer[answer.index(b"\x9f\x4b\x81\x80") + 4 + where] ^= 0x04
        return bytes(answer)

    card.options = flipped
    result = offline_tap(card, made)
    assert (result.outcome, result.oda.verdict) == ("offline-declined", "failed")


def test_visa_format_95_is_accepted_for_fdda_alone() -> None:
    made = maker(VISA)
    evidence = CardEvidence(
        card=made.card() | {0x9F4B: made.dynamic_signature(b"\x02\x00\x07", b"1234", 0x95)},
        records=made.records(),
        rid=VISA[:5],
        pan=made.pan,
    )
    result = authenticate_dynamic(evidence, made.ring(), TODAY, terminal_values=b"1234")
    assert result.reason == "dynamic-signature-format"


@pytest.mark.parametrize("pdol", [None, "9F0206 9F3704", "9F6600 9F3704", "9F66"])
def test_a_visa_application_that_does_not_ask_for_the_qualifiers_gives_way(
    pdol: str | None,
) -> None:
    # Book B, 3.3.3.6: such an application is removed and the next one selected
    card = quick_card(VISA)
    card.applications[VISA] = fci(VISA, pdol=pdol)
    assert tap(card).outcome is Outcome.TRY_ANOTHER_CARD
    assert [command[1] for command in card.commands] == [0xA4, 0xA4]
    card = quick_card(VISA)
    card.directory = ppse(entry(VISA, priority=1), entry(UNIONPAY, priority=2))
    card.applications |= {VISA: fci(VISA, pdol=pdol), UNIONPAY: fci(UNIONPAY)}
    assert tap(card).kernel == "unionpay"


@pytest.mark.parametrize("instead", [tlv("5A", PAN), b"", tlv("57", b"")])
def test_a_visa_card_without_track_2_is_turned_away(instead: bytes) -> None:
    # Book C-3: 57 is mandatory; the account number in 5A does not replace it
    body = parse(quick_answer())[0].value.replace(tlv("57", track2()), instead)
    result = tap(quick_card(VISA, tlv("77", body)))
    assert result.outcome is Outcome.TRY_ANOTHER_CARD
    if instead[:1] != b"\x5a":
        return
    assert tap(quick_card(UNIONPAY, tlv("77", body))).outcome is Outcome.ONLINE_REQUEST


@SCHEMES
def test_an_unknown_fdda_version_fails(aid: bytes) -> None:
    made = maker(aid)
    result = offline_tap(signing_card(made, aid, version="02"), made)
    assert (result.outcome, result.oda.reason) == ("offline-declined", "fdda-version-unknown")


def test_a_unionpay_card_without_9f69_may_have_signed_the_amount_as_well() -> None:
    for aid, passed in ((UNIONPAY, True), (VISA, False)):
        made = maker(aid)
        card = signing_card(made, aid, version=None, covered=lambda *values: b"".join(values))
        assert offline_tap(card, made).oda.passed == passed


@SCHEMES
@pytest.mark.parametrize("what", [0, 1, 2], ids=["number", "amount", "currency"])
def test_a_signature_over_another_transaction_fails(aid: bytes, what: int) -> None:
    made = maker(aid)

    def other(*values: bytes) -> bytes:
        changed = [v if n != what else bytes(len(v)) for n, v in enumerate(values)]
        return b"".join(changed) + bytes.fromhex("01CAFEBABE0000")

    result = offline_tap(signing_card(made, aid, covered=other), made)
    assert (result.outcome, result.oda.reason) == ("offline-declined", "dynamic-signature-hash")
    assert result.tvr[0] == 0x08


@SCHEMES
@pytest.mark.parametrize(
    ("ctq", "ttq", "outcome"),
    [
        ("0000", "27004080", "offline-declined"),
        ("2000", "27004080", "online-request"),
        ("2000", "2F004080", "offline-declined"),  # the reader is offline only
        ("1000", "37004080", "use-another-interface"),
        ("1000", "27004080", "offline-declined"),  # no contact chip there
        ("3000", "37004080", "online-request"),
    ],
)
def test_the_card_says_what_follows_a_failed_authentication(
    aid: bytes, ctq: str, ttq: str, outcome: str
) -> None:
    made = maker(aid)
    card = signing_card(made, aid, ctq=ctq)
    card.records[(2, 1)] = tlv("70", tlv("9F46", bytes(144)))
    result = offline_tap(card, made, terminal=with_ttq(ttq, OFFLINE))
    assert result.outcome == outcome
    assert result.oda.reason == "icc-certificate-trailer"


@SCHEMES
def test_an_offline_approval_without_certificates_is_declined(aid: bytes) -> None:
    result = tap(quick_card(aid, quick_answer(cid="40")), terminal=OFFLINE)
    assert (result.outcome, result.oda.reason) == ("offline-declined", "ca-key-index-missing")
    assert result.tvr[0] == 0x28  # DDA failed, data missing


@SCHEMES
def test_an_offline_approval_of_what_had_to_go_online_is_declined(aid: bytes) -> None:
    made = maker(aid)
    result = offline_tap(signing_card(made, aid), made, terminal=load_terminal("china"))
    assert result.outcome is Outcome.OFFLINE_DECLINED


@SCHEMES
def test_a_decline_stands_whatever_was_signed_and_the_signature_is_told(aid: bytes) -> None:
    made = maker(aid)
    result = offline_tap(signing_card(made, aid, cid="00"), made)
    assert (result.outcome, result.cryptogram) == ("offline-declined", "AAC")
    assert result.oda.passed
    assert tap(quick_card(aid, quick_answer(cid="00"))).oda.reason == "not-reached"


@SCHEMES
def test_online_with_certificates_the_signature_is_checked_where_the_terminal_says_so(
    aid: bytes,
) -> None:
    made = maker(aid)
    card = signing_card(made, aid, cid="80")
    assert offline_tap(card, made).oda.passed
    unasked = offline_tap(card, made, terminal=with_ttq("26004080", OFFLINE))
    assert (unasked.outcome, unasked.oda.verdict) == ("online-request", "not-performed")
    card.records[(2, 1)] = tlv("70", tlv("9F46", bytes(144)))
    assert offline_tap(card, made).outcome is Outcome.OFFLINE_DECLINED


@SCHEMES
def test_online_under_an_unknown_ca_key_the_issuer_decides(aid: bytes) -> None:
    made = maker(aid)
    result = tap(signing_card(made, aid, cid="80"))
    assert (result.outcome, result.oda.reason) == ("online-request", "ca-key-missing")
    result = tap(signing_card(made, aid, cid="40"), terminal=OFFLINE)
    assert (result.outcome, result.oda.reason) == ("offline-declined", "ca-key-missing")


def test_sda_serves_unionpay_cards_that_know_no_better() -> None:
    for aid, outcome in ((UNIONPAY, "offline-approved"), (VISA, "offline-declined")):
        made = maker(aid)
        made.aip = b"\x40\x00"
        static = made.card()
        tags = (0x8F, 0x9F32, 0x92, 0x93, 0x9F4A)
        rest = b"".join(tlv(f"{tag:X}", static[tag]) for tag in tags if tag in static)
        answer = quick_answer(cid="40", more=tlv("94", "08010301")).replace(
            tlv("82", "2000"), tlv("82", "4000")
        )
        card = quick_card(aid, answer)
        card.records = {
            (1, 1): tlv("70", made.record()),
            (1, 2): tlv("70", tlv("90", static[0x90])),
            (1, 3): tlv("70", rest),
        }
        result = offline_tap(card, made)
        assert result.outcome == outcome
        if aid == UNIONPAY:
            assert (result.oda.method, result.oda.verdict) == ("SDA", "passed")


# Expiry


@SCHEMES
@pytest.mark.parametrize(
    ("cid", "ctq", "outcome"),
    [
        ("80", "0000", "online-request"),
        ("40", "0000", "offline-declined"),
        ("40", "0800", "online-request"),
    ],
)
def test_an_expired_card_is_the_issuer_s_to_judge_or_declined_offline(
    aid: bytes, cid: str, ctq: str, outcome: str
) -> None:
    made = maker(aid, issuer_expiry="1249", icc_expiry="1249")
    card = signing_card(made, aid, cid=cid, ctq=ctq)
    result = offline_tap(card, made, at=datetime(2031, 1, 1, 9, 0))
    assert result.outcome == outcome
    assert result.tvr[1] & 0x40


# Cardholder verification


@pytest.mark.parametrize(
    ("aid", "ctq", "amount", "cvm", "outcome"),
    [
        (UNIONPAY, None, 1280, "none", "online-request"),
        (UNIONPAY, None, OVER, "online-pin", "online-request"),
        (VISA, None, OVER, "signature", "online-request"),
        (UNIONPAY, "0000", OVER, "online-pin", "online-request"),
        (VISA, "0000", OVER, "none", "offline-declined"),
        (UNIONPAY, "8000", OVER, "online-pin", "online-request"),
        (VISA, "8000", 1280, "online-pin", "online-request"),
        (UNIONPAY, "4000", OVER, "signature", "online-request"),
        (VISA, "C000", OVER, "online-pin", "online-request"),
        (UNIONPAY, "0080", OVER, "on-device", "online-request"),
        (VISA, "0080", 1280, "on-device", "online-request"),
    ],
)
def test_card_and_limit_choose_the_verification(
    aid: bytes, ctq: str | None, amount: int, cvm: str, outcome: str
) -> None:
    result = tap(quick_card(aid, quick_answer(ctq=ctq)), amount=amount)
    assert (result.cvm, result.outcome) == (cvm, outcome)
    assert result.no_pin == (cvm == "none" and outcome == "online-request")
    assert result.online_pin_required == (cvm == "online-pin")
    assert result.on_device_performed == (cvm == "on-device")
    if outcome == "online-request":
        assert (
            find(parse(result.icc or b""), 0x9F34)
            == {
                "none": b"\x1f\x03\x02",
                "online-pin": b"\x02\x03\x00",
                "signature": b"\x1e\x03\x00",
                "on-device": b"\x01\x00\x02",
            }[cvm]
        )


@pytest.mark.parametrize(
    ("aid", "ttq", "ctq", "outcome", "cvm"),
    [
        (UNIONPAY, "22004080", None, "online-request", "signature"),
        (UNIONPAY, "20004080", None, "offline-declined", "none"),
        (VISA, "24004080", None, "online-request", "online-pin"),
        (VISA, "20004080", None, "offline-declined", "none"),
        (UNIONPAY, "22004080", "8000", "online-request", "signature"),
        (VISA, "22004080", "8000", "offline-declined", "none"),
    ],
)
def test_a_terminal_without_the_method_finds_another_or_declines(
    aid: bytes, ttq: str, ctq: str | None, outcome: str, cvm: str
) -> None:
    result = tap(quick_card(aid, quick_answer(ctq=ctq)), amount=OVER, terminal=with_ttq(ttq))
    assert (result.outcome, result.cvm) == (outcome, cvm)


@SCHEMES
def test_a_phone_that_has_not_verified_its_holder_is_to_be_looked_at(aid: bytes) -> None:
    answer = quick_answer(ctq="0000", more=tlv("9F6E", "23880000"))
    assert tap(quick_card(aid, answer), amount=OVER).outcome is Outcome.SEE_PHONE
    assert tap(quick_card(aid, answer), amount=1280).outcome is Outcome.ONLINE_REQUEST


@SCHEMES
def test_on_device_verification_offline_must_be_signed_and_agree(aid: bytes) -> None:
    made = maker(aid)
    agreed = offline_tap(signing_card(made, aid, ctq="0080"), made)
    assert (agreed.outcome, agreed.cvm) == ("offline-approved", Cvm.ON_DEVICE)
    unsigned = offline_tap(signing_card(made, aid, version=None, ctq="0080"), made)
    assert unsigned.outcome is Outcome.OFFLINE_DECLINED
    card = signing_card(made, aid, ctq="0080")
    honest = card.options

    def lying(command: bytes) -> bytes:
        return honest(command).replace(tlv("9F6C", "0080"), tlv("9F6C", "2080"))  # type: ignore[operator,union-attr,return-value]

    card.options = lying
    assert offline_tap(card, made).outcome is Outcome.OFFLINE_DECLINED


@pytest.mark.parametrize(
    ("day", "amount", "pin"),
    [
        (datetime(2018, 5, 31, 23, 0), 30000, True),
        (datetime(2018, 5, 31, 23, 0), 29999, False),
        (datetime(2018, 6, 1, 0, 0), 30000, False),
        (datetime(2018, 6, 1, 0, 0), 99999, False),
        (datetime(2018, 6, 1, 0, 0), 100000, True),
    ],
)
def test_the_limit_without_pin_is_the_one_in_force_that_day(
    day: datetime, amount: int, pin: bool
) -> None:
    assert tap(quick_card(), at=day, amount=amount).online_pin_required == pin


def test_a_currency_without_limits_is_verified_and_online() -> None:
    result = tap(quick_card(), currency="TWD", amount=1)
    assert (result.cvm, result.outcome) == ("online-pin", "online-request")


def test_json_has_exactly_the_fields_of_the_contract_and_no_card_number() -> None:
    result = tap(quick_card(UNIONPAY, quick_answer(ctq="0000")))
    shown = result.as_json()
    assert list(shown) == [
        *("outcome", "aid", "label", "kernel", "pan", "expiry", "cryptogram", "atc", "tvr"),
        *("cvm", "oda", "exchanges"),
    ]
    assert shown["pan"] == "999999******0012"
    assert shown["atc"] == "0007"
    assert set(shown["oda"]) == {"method", "result", "reason"}
    assert set(shown["exchanges"][0]) == {"command", "response", "ms"}
    assert PAN not in str(shown)
    assert PAN not in repr(result)
