"""The Mastercard kernel, and the full flow that UnionPay cards may fall back on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from devices.nfc.emv.ber_tlv import find, parse
from devices.nfc.kernel import Kernel, Outcome, TapResult, TerminalData, load_terminal
from tests.devices.nfc.kernel.kernel_cards import (
    MASTERCARD,
    PAN,
    UNIONPAY,
    VISA,
    CardMaker,
    ScriptedCard,
    entry,
    fci,
    ppse,
    private_key,
    quick_answer,
    tap,
    tlv,
    track2,
)

CDOL1 = "9F0206 9F0306 9F1A02 9505 5F2A02 9A03 9C01 9F3704 9F3501 9F4502 9F4C08 9F3403"
OFFLINE = load_terminal("china").with_limits(floor=5000)
CVM_LIST = "00000000 00000000 4203 5E03 1F03"


class ChipCard(ScriptedCard):
    """A card that is walked with records and GENERATE AC; `answers` is the cryptogram it gives."""

    def __init__(
        self,
        aid: bytes = MASTERCARD,
        *,
        aip: str = "1980",
        pdol: str | None = None,
        answers: int | None = None,
        omit: tuple[str, ...] = (),
        change: dict[str, str] | None = None,
        more: bytes = b"",
        form: str = "77",
    ) -> None:
        super().__init__(directory=ppse(entry(aid)), applications={aid: fci(aid, pdol=pdol)})
        keys = {"ca": private_key(1408), "issuer": private_key(1152), "icc": private_key(1024)}
        self.made = CardMaker(**keys, rid=aid[:5], aip=bytes.fromhex(aip))
        self.answers, self.more, self.form = answers, more, form
        values = {
            "57": track2().hex(),
            "5F34": "01",
            "8C": CDOL1,
            "8E": CVM_LIST,
            "9F07": "FFC0",
            "9F08": "0002",
            "5F25": "200101",
            "9F0D": "0000000000",
            "9F0E": "0000000000",
            "9F0F": "0000000000",
            "9F42": "0156",
            "9F49": "9F3704",
        } | (change or {})
        plain = b"".join(tlv(tag, value) for tag, value in values.items() if tag not in omit)
        static = self.made.card()
        proof = (0x8F, 0x9F32, 0x92, 0x9F47, 0x9F48, 0x9F4A)
        self.records = {
            (1, 1): tlv("70", self.made.record()),
            (2, 1): tlv("70", plain),
            (3, 1): tlv(
                "70",
                tlv("90", static[0x90]),
                *(tlv(f"{t:X}", static[t]) for t in proof if t in static),
            ),
            (4, 1): tlv("70", tlv("9F46", static[0x9F46])),
            (5, 1): tlv("70", tlv("93", static[0x93])),
        }
        afl = "08010101 10010100 18010100 20010100 28010100"
        self.options = lambda command: self._options(
            command, tlv("77", tlv("82", aip), tlv("94", afl))
        )
        self.cryptogram = self._generate
        self.authenticate = self._sign
        self.pdol_values = b""
        self.cdol = b""
        self.control = -1

    def _options(self, command: bytes, answer: bytes) -> bytes:
        self.pdol_values = command[7:-1]
        return answer

    def _sign(self, command: bytes) -> bytes:
        return tlv("80", self.made.dynamic_signature(b"\x02\x00\x09", command[5:-1]))

    def _generate(self, command: bytes) -> bytes:
        self.control, self.cdol = command[2], command[5:-1]
        cid = self.control & 0xC0 if self.answers is None else self.answers
        head = tlv("9F27", bytes((cid,))) + tlv("9F36", "0009")
        tail = tlv("9F10", "0110A00003220000") + self.more
        if self.form == "80":
            return tlv("80", bytes((cid,)), "0009", "33" * 8, "0110A00003220000")
        if not self.control & 0x10 or cid == 0:
            return tlv("77", head, tlv("9F26", "33" * 8), tail)
        digest = hashlib.sha1(
            self.pdol_values + self.cdol + head + tail, usedforsecurity=False
        ).digest()
        number = self.cdol[25:29]
        inner = b"\x02\x00\x09" + bytes((cid,)) + b"\x33" * 8 + digest
        return tlv("77", head, tlv("9F4B", self.made.dynamic_signature(inner, number)), tail)


def walk(card: ChipCard, **changes: Any) -> TapResult:
    return tap(card, **{"ring": card.made.ring(), **changes})


def value(card: ChipCard, tag: str) -> str:
    """What the card was sent for a CDOL1 tag."""
    lengths = [("9F02", 6), ("9F03", 6), ("9F1A", 2), ("95", 5), ("5F2A", 2), ("9A", 3), ("9C", 1)]
    lengths += [("9F37", 4), ("9F35", 1), ("9F45", 2), ("9F4C", 8), ("9F34", 3)]
    at = 0
    for name, length in lengths:
        if name == tag:
            return card.cdol[at : at + length].hex()
        at += length
    raise KeyError(tag)


def test_online_with_cda_as_the_floor_limit_asks() -> None:
    card = ChipCard()
    result = walk(card)
    assert (result.outcome, result.cryptogram, result.kernel) == (
        "online-request",
        "ARQC",
        "mastercard",
    )
    assert (card.control, value(card, "95"), value(card, "9F34")) == (0x90, "0000008001", "1f0302")
    assert (result.oda.method, result.oda.verdict) == ("CDA", "passed")
    assert result.tvr.hex() == "0000008001"
    assert result.no_pin
    icc = parse(result.icc or b"")
    assert find(icc, 0x9F26) == b"\x33" * 8  # out of the signature
    assert find(icc, 0x95) == bytes.fromhex("0000008001")
    assert find(icc, 0x9F33) == bytes.fromhex("E008C8")
    assert result.pan == PAN


def test_below_the_floor_limit_card_and_terminal_approve_offline() -> None:
    card = ChipCard()
    result = walk(card, terminal=OFFLINE)
    assert (result.outcome, card.control) == (Outcome.OFFLINE_APPROVED, 0x50)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [(0x80, "online-request"), (0x00, "offline-declined"), (0x40, "offline-approved")],
)
def test_the_card_may_answer_with_less_than_was_asked(answers: int, outcome: str) -> None:
    assert walk(ChipCard(answers=answers), terminal=OFFLINE).outcome == outcome


@pytest.mark.parametrize("answers", [0x40, 0xC0])
def test_the_card_may_not_answer_with_more_than_was_asked(answers: int) -> None:
    assert walk(ChipCard(answers=answers)).outcome is Outcome.TRY_ANOTHER_CARD


@pytest.mark.parametrize("form", ["77", "80"])
def test_without_cda_either_answer_format_goes_online_unauthenticated(form: str) -> None:
    card = ChipCard(aip="1880", form=form)
    result = walk(card)
    assert (result.outcome, card.control, result.tvr[0]) == (Outcome.ONLINE_REQUEST, 0x80, 0x80)
    assert (result.oda.method, result.oda.reason) == ("none", "not-supported")
    assert find(parse(result.icc or b""), 0x9F26) == b"\x33" * 8


def test_an_early_card_is_authenticated_by_its_static_signature() -> None:
    card = ChipCard(aip="5880")
    result = walk(card)
    assert (result.oda.method, result.oda.verdict, value(card, "9F45")) == ("SDA", "passed", "dac1")
    assert value(card, "95")[:2] == "02"  # SDA selected: EMV Book 3, 10.3 and Annex C5


def test_without_the_ca_key_no_signature_is_asked_for_and_the_tvr_says_so() -> None:
    card = ChipCard()
    result = tap(card, terminal=OFFLINE)
    assert (card.control, value(card, "95")[:2]) == (0x80, "04")
    assert (result.outcome, result.oda.reason) == (Outcome.ONLINE_REQUEST, "ca-key-missing")


def test_a_signature_that_does_not_fit_is_declined() -> None:
    card = ChipCard()
    card.cryptogram = lambda command: card._generate(command).replace(
        b"\x22\x00\x00", b"\x22\x00\x01"
    )
    result = walk(card)
    assert (result.outcome, result.oda.reason) == ("offline-declined", "transaction-values-hash")
    assert result.tvr[0] == 0x04


def test_a_signature_over_another_cryptogram_type_is_declined() -> None:
    card = ChipCard()
    card.cryptogram = lambda command: card._generate(command).replace(
        tlv("9F27", "40"), tlv("9F27", "80")
    )
    result = walk(card, terminal=OFFLINE)
    assert (result.outcome, result.oda.reason) == ("offline-declined", "dynamic-signature-cid")


def test_a_missing_signature_is_declined() -> None:
    result = walk(ChipCard(form="80"))
    assert (result.outcome, result.oda.reason) == ("offline-declined", "dynamic-signature-missing")
    assert result.tvr[0] == 0x24


@pytest.mark.parametrize(
    ("change", "tvr"),
    [
        ({"9F08": "0009"}, "0080000001"),
        ({"5F25": "260101"}, "0020000001"),
        ({"9F07": "0000"}, "0010000001"),
        ({"9F07": "C0FF"}, "0010000001"),
        ({"9F07": "2900"}, "0000000001"),
    ],
)
def test_restrictions_set_the_tvr(change: dict[str, str], tvr: str) -> None:
    card = ChipCard(change=change)
    walk(card, terminal=OFFLINE)
    assert value(card, "95") == tvr


def test_usage_is_read_as_domestic_or_international_by_the_issuer_s_country() -> None:
    card = ChipCard(change={"9F07": "1500"})  # goods and services abroad only
    walk(card, terminal=OFFLINE)
    assert value(card, "95") == "0010000001"
    abroad = load_terminal("abroad").with_limits(floor=5000)
    card = ChipCard(change={"9F07": "1500"})
    walk(card, terminal=abroad, currency="THB")
    assert value(card, "95") == "0000000001"


def test_an_expired_card_goes_online() -> None:
    card = ChipCard()
    result = walk(card, terminal=OFFLINE, at=datetime(2031, 1, 2))
    assert result.tvr[1] == 0x40
    assert result.outcome is Outcome.ONLINE_REQUEST


def test_action_codes_of_either_side_decide() -> None:
    card = ChipCard(change={"9F0F": "0080000000", "9F08": "0009"})
    walk(card, terminal=OFFLINE)
    assert card.control == 0x90
    card = ChipCard(change={"9F0E": "0080000000", "9F08": "0009"})
    result = walk(card, terminal=OFFLINE)
    assert (card.control, result.outcome) == (0x00, Outcome.OFFLINE_DECLINED)
    card = ChipCard(omit=("9F0F",), change={"9F08": "0009"})
    walk(card, terminal=OFFLINE)
    assert card.control == 0x90
    offline_only = replace(OFFLINE, terminal_type=b"\x23")
    card = ChipCard(change={"9F0D": "0080000000", "9F08": "0009"})
    walk(card, terminal=offline_only)
    assert card.control == 0x00
    online_only = replace(OFFLINE, terminal_type=b"\x21")
    card = ChipCard()
    walk(card, terminal=online_only)
    assert card.control == 0x90


@pytest.mark.parametrize(
    ("rules", "amount", "results", "cvm", "tvr"),
    [
        (CVM_LIST, 120000, "420300", "online-pin", "04"),
        ("00000000 00000000 5E03 1F03", 120000, "5e0300", "signature", "00"),
        ("00000000 00000000 1F03", 120000, "3f0001", "none", "80"),
        # EMV Book 4, table of the CVM results: where no rule could be used they are 3F0001; only
        # the method "fail" stands in them (Book C-2, CVM.14 and CVM.23 to CVM.25)
        ("00000000 00000000 1F00", 120000, "3f0001", "none", "80"),
        ("00000000 00000000 4100 4300 4200", 1280, "3f0001", "none", "80"),
        ("00000000 00000000 0201", 120000, "3f0001", "none", "80"),
        ("00000000 00000000 4000 0201", 120000, "3f0001", "none", "80"),
        ("00000000 00000000 4100 0003", 120000, "000301", "none", "80"),
        ("00000000 00000000 4103 0200", 120000, "020000", "online-pin", "04"),
        ("00000000 00000000 0100 0200", 120000, "3f0001", "none", "80"),
        ("00000000 00000000 6500 1E00", 120000, "1e0000", "signature", "40"),
        ("00000000 00000000 0000", 1280, "000001", "none", "80"),
        ("0000C350 00000000 5E06 4207", 120000, "420700", "online-pin", "04"),
        ("00000000 0001D4C1 5E08 4209", 120000, "5e0800", "signature", "00"),
        (CVM_LIST, 1280, "1f0302", "none", "00"),
        ("00000000 00000000 5E01 5E04 5E05 0202", 120000, "020200", "online-pin", "04"),
        ("00000000 00000000", 1280, "3f0000", "none", "00"),
    ],
)
def test_the_cvm_list_is_walked_rule_by_rule(
    rules: str, amount: int, results: str, cvm: str, tvr: str
) -> None:
    card = ChipCard(change={"8E": rules})
    result = walk(card, amount=amount)
    assert (value(card, "9F34"), result.cvm, value(card, "95")[4:6]) == (results, cvm, tvr)
    if rules == "00000000 00000000":
        assert value(card, "95")[:2] == "20"  # data missing


def test_without_cardholder_verification_in_the_aip_none_is_done() -> None:
    card = ChipCard(aip="0980")
    assert walk(card, amount=120000).cvm == "none"
    assert value(card, "9F34") == "3f0000"


@pytest.mark.parametrize(
    ("amount", "results", "cvm"), [(1280, "3f0002", "none"), (120000, "010002", "on-device")]
)
def test_a_phone_verifies_its_holder_over_the_limit(amount: int, results: str, cvm: str) -> None:
    card = ChipCard(aip="1B80")
    assert walk(card, amount=amount).cvm == cvm
    assert value(card, "9F34") == results


@pytest.mark.parametrize("aip", ["1280", "5280", "1A80"])
@pytest.mark.parametrize("amount", [1280, 120000])
def test_a_device_that_verifies_its_holder_but_does_not_sign_is_declined(
    aip: str, amount: int
) -> None:
    # Book C-2, GAC.20 to GAC.23: the device's word counts only under CDA, whatever the amount
    card = ChipCard(aip=aip)
    result = walk(card, amount=amount)
    assert (card.control, result.outcome) == (0x00, Outcome.OFFLINE_DECLINED)


def test_a_device_whose_key_cannot_be_recovered_is_declined() -> None:
    card = ChipCard(aip="1B80")
    result = tap(card, amount=120000)  # without the CA key
    assert (card.control, result.outcome) == (0x00, Outcome.OFFLINE_DECLINED)
    assert (value(card, "95")[:2], result.oda.reason) == ("04", "ca-key-missing")
    card = ChipCard(aip="1B80")
    card.records[(4, 1)] = tlv("70", tlv("9F46", bytes(144)))
    assert (walk(card).outcome, card.control) == (Outcome.OFFLINE_DECLINED, 0x00)
    card = ChipCard(aip="1980")  # a card without a device of its own goes online as before
    assert (tap(card).outcome, card.control) == (Outcome.ONLINE_REQUEST, 0x80)


def test_a_device_that_answers_more_than_the_decline_asked_for_stays_declined() -> None:
    # Book C-2 ends the application here (card data error); the terminal had declined already
    card = ChipCard(aip="1280", answers=0x80)
    assert walk(card).outcome is Outcome.OFFLINE_DECLINED


def test_an_amount_equal_to_the_cvm_limit_is_not_over_it() -> None:
    # Book C-2, S456.30; Book B has it the other way for the other kernels
    for amount, results in ((100000, "1f0302"), (100001, "420300")):
        card = ChipCard()
        walk(card, amount=amount)
        assert value(card, "9F34") == results


@pytest.mark.parametrize("condition", ["06", "07", "08", "09"])
def test_a_condition_on_the_amount_needs_the_application_s_currency(condition: str) -> None:
    # EMV Book 3, 10.5: a rule whose data are missing is bypassed
    amounts = "00FFFFFF 00FFFFFF" if condition in ("06", "08") else "00000001 00000001"
    rules = f"{amounts} 42{condition} 1E00"
    for omit, change, results in (
        ((), {}, f"42{condition}00"),
        (("9F42",), {}, "1e0000"),
        ((), {"9F42": "0840"}, "1e0000"),
    ):
        card = ChipCard(omit=omit, change={"8E": rules, **change})
        walk(card, amount=120000)
        assert value(card, "9F34") == results


@pytest.mark.parametrize(
    ("terminal_type", "kind", "condition", "holds"),
    [
        ("22", 0x01, "01", False), ("22", 0x01, "04", True), ("22", 0x17, "04", True),
        ("14", 0x01, "01", True), ("14", 0x01, "04", False), ("25", 0x01, "01", True),
        ("22", 0x00, "01", False), ("14", 0x00, "01", False), ("22", 0x00, "04", False),
        ("22", 0x00, "02", True), ("22", 0x09, "02", False), ("22", 0x01, "02", False),
        ("14", 0x01, "02", False), ("22", 0x09, "05", True), ("22", 0x00, "05", False),
    ],
)  # fmt: skip
def test_cash_is_attended_or_not_by_the_terminal(
    terminal_type: str, kind: int, condition: str, holds: bool
) -> None:
    terminal = replace(load_terminal("china"), terminal_type=bytes.fromhex(terminal_type))
    card = ChipCard(change={"8E": f"00000000 00000000 42{condition} 1E00"})
    walk(card, amount=120000, terminal=terminal, kind=kind)
    assert value(card, "9F34") == (f"42{condition}00" if holds else "1e0000")


@pytest.mark.parametrize(
    "rules", ["00000000 00000000 4203 00", "00", "00000000", "0000000000000042"]
)
def test_a_cvm_list_of_an_impossible_length_ends_the_tap(rules: str) -> None:
    # EMV Book 3, 7.5: a formatting error ends it; a list of eight bytes has no rules
    card = ChipCard(change={"8E": rules})
    ended = len(bytes.fromhex(rules)) != 8
    assert (walk(card).outcome is Outcome.TRY_ANOTHER_CARD) == ended
    assert (card.control == -1) == ended


@pytest.mark.parametrize(
    ("usage", "kind", "other", "allowed"),
    [
        ("0180", 0x09, 500, False), ("2980", 0x09, 500, True), ("2900", 0x09, 500, False),
        ("2900", 0x09, 0, True), ("2940", 0x09, 500, False), ("0180", 0x09, 0, False),
        ("8100", 0x01, 0, True), ("2980", 0x01, 0, False), ("8100", 0x17, 0, True),
        ("8100", 0x00, 0, False), ("0100", 0x20, 0, True), ("2900", 0x00, 500, False),
    ],
)  # fmt: skip
def test_usage_counts_goods_and_cashback_apart(
    usage: str, kind: int, other: int, allowed: bool
) -> None:
    # EMV Book 3, 10.4.2, and Book C-2, PRE.13 to PRE.24, for a domestic card
    card = ChipCard(change={"9F07": usage})
    walk(card, kind=kind, other_minor=other)
    assert (value(card, "95")[2:4] == "00") == allowed


@pytest.mark.parametrize(("cash", "usage", "allowed"), [
    ("E0", "8200", True), ("E0", "8100", False), ("60", "8100", True), ("60", "8200", False),
])  # fmt: skip
def test_a_cash_machine_is_an_unattended_terminal_that_pays_out(
    cash: str, usage: str, allowed: bool
) -> None:
    terminal = replace(
        load_terminal("china"),
        terminal_type=b"\x14",
        additional_capabilities=bytes.fromhex(f"{cash}00F0A001"),
    )
    card = ChipCard(change={"9F07": usage})
    walk(card, terminal=terminal, kind=0x01)
    assert (value(card, "95")[2:4] == "00") == allowed


@pytest.mark.parametrize("status", [0x6984, 0x6985, 0x6986, 0x6A81, 0x6400])
def test_whatever_refuses_processing_options_the_next_application_is_selected(status: int) -> None:
    # Book C-2, S3.8 and S3.9; Visa and UnionPay read 6984 and 6986 otherwise
    card = ChipCard()
    card.directory = ppse(entry(MASTERCARD, priority=1), entry(VISA, priority=2))
    card.applications[VISA] = fci(VISA)
    answers: list[Any] = [status, quick_answer()]
    card.options = lambda command: answers.pop(0)
    result = walk(card)
    assert (result.kernel, result.outcome) == (Kernel.VISA, Outcome.ONLINE_REQUEST)


def test_capabilities_name_no_cvm_before_the_amount_is_compared() -> None:
    # Book C-2, S456.30 to 33
    card = ChipCard(pdol="9F3303")
    walk(card)
    assert card.pdol_values.hex() == "e000c8"


@pytest.mark.parametrize("aip", ["1980", "1981"])
def test_relay_resistance_is_reported_as_not_performed(aip: str) -> None:
    # Book C-2, 2.5 and later, TVR byte 5 bits 2 and 1: 01, whether or not the card has the protocol
    card = ChipCard(aip=aip)
    walk(card)
    assert value(card, "95")[8:] == "01"


def test_a_phone_that_declines_may_ask_to_be_looked_at() -> None:
    assert walk(ChipCard(answers=0, more=tlv("DF4B", "000100"))).outcome is Outcome.SEE_PHONE
    assert walk(ChipCard(answers=0, more=tlv("DF4B", "001000"))).outcome is Outcome.OFFLINE_DECLINED


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [("000100", "see-phone"), ("000001", "see-phone"), ("000200", "see-phone"),
     ("00000F", "see-phone"), ("001000", "online-request"), ("0001", "online-request")],
)  # fmt: skip
def test_an_approval_that_asks_for_the_phone_needs_a_second_tap(asked: str, outcome: str) -> None:
    # Book C-2, S910.71 and 72: the second tap comes whatever the cryptogram's type is
    for answers in (0x80, 0x40):
        result = walk(ChipCard(answers=answers, more=tlv("DF4B", asked)), terminal=OFFLINE)
        expected = "offline-approved" if (outcome, answers) == ("online-request", 0x40) else outcome
        assert result.outcome == expected


def test_a_forged_signature_is_declined_before_the_phone_is_asked_for() -> None:
    card = ChipCard(more=tlv("DF4B", "000100"))
    card.cryptogram = lambda command: card._generate(command).replace(b"\x22\x00", b"\x22\x01")
    assert walk(card).outcome is Outcome.OFFLINE_DECLINED


@pytest.mark.parametrize("tag", ["8C", "5A", "5F24"])
def test_records_without_what_the_flow_needs_are_turned_away(tag: str) -> None:
    # EMV Book 3, 7.2, and Book C-2, S456.16: expiry, account number and CDOL1, whatever 57 has
    card = ChipCard(omit=(tag,))
    objects = {"5A": PAN, "5F24": "301231", "5F28": "0156"}
    card.records[(1, 1)] = tlv("70", *(tlv(t, v) for t, v in objects.items() if t != tag))
    result = walk(card)
    assert (result.outcome, card.control) == (Outcome.TRY_ANOTHER_CARD, -1)
    assert tag in result.reason


def test_a_card_without_track_2_is_walked_by_its_account_number() -> None:
    assert walk(ChipCard(omit=("57",))).outcome is Outcome.ONLINE_REQUEST


def test_a_card_of_mag_stripe_mode_is_sent_to_another_interface() -> None:
    card = ChipCard(omit=("8C",))
    card.records[(4, 1)] = tlv("70", tlv("9F6B", track2()))
    assert walk(card).outcome is Outcome.USE_ANOTHER_INTERFACE


@pytest.mark.parametrize(
    "answer",
    [
        0x6985,
        0x6A81,
        b"",
        b"\x77\x09\x9f",
        tlv("70", "00"),
        tlv("80", "8000"),
        tlv("77", tlv("9F27", "80")),
        tlv("77", tlv("9F27", "80"), tlv("9F36", "0001")),
        tlv(
            "77", tlv("9F27", "80"), tlv("9F36", "0001"), tlv("9F36", "0002"), tlv("9F26", "33" * 8)
        ),
    ],
)
def test_an_odd_answer_to_generate_ac_turns_the_card_away(answer: bytes | int) -> None:
    card = ChipCard(aip="1880")
    card.cryptogram = answer
    assert walk(card).outcome is Outcome.TRY_ANOTHER_CARD


def test_a_cdol_that_cannot_be_filled_turns_the_card_away() -> None:
    for cdol in ("9F02", "9F0270 9F0270 9F0270"):
        assert walk(ChipCard(change={"8C": cdol})).outcome is Outcome.TRY_ANOTHER_CARD


def test_the_m_chip_layout_is_read_for_the_method_it_will_use() -> None:
    afl = "08010100 10010101 18010200 20010200"
    for aip, read in (
        ("1980", ["1001", "1801", "2001", "2002"]),
        ("5880", ["1001", "1801", "1802"]),
    ):
        card = ChipCard(aip=aip)
        card.options = tlv("77", tlv("82", aip), tlv("94", afl))
        card.records = dict.fromkeys([(2, 1), (3, 1), (3, 2), (4, 1), (4, 2)], tlv("70"))
        tap(card)
        reads = [command for command in card.commands if command[1] == 0xB2]
        assert [f"{command[3] & 0xF8:02X}{command[2]:02X}" for command in reads] == read


# UnionPay's fall-back


@pytest.mark.parametrize(
    ("aip", "method"), [("7D00", "CDA"), ("7C00", "DDA"), ("5C00", "SDA"), ("1C00", "none")]
)
def test_a_unionpay_card_without_a_cryptogram_at_gpo_is_walked_in_full(
    aip: str, method: str
) -> None:
    card = ChipCard(UNIONPAY, aip=aip, change={"9F08": "0030"})
    result = walk(card, terminal=OFFLINE)
    assert (result.kernel, result.oda.method) == (Kernel.UNIONPAY, method)
    assert result.oda.verdict == ("not-performed" if method == "none" else "passed"), result.oda
    if method == "DDA":
        assert value(card, "9F4C") == "0009000000000000"
    assert result.outcome in (Outcome.OFFLINE_APPROVED, Outcome.ONLINE_REQUEST)


def test_dda_over_another_number_fails_and_goes_online() -> None:
    card = ChipCard(UNIONPAY, aip="7C00", change={"9F08": "0030"})
    card.authenticate = lambda command: tlv(
        "77", tlv("9F4B", card.made.dynamic_signature(b"\x02\x00\x09", bytes(4)))
    )
    result = walk(card, terminal=OFFLINE)
    assert (result.oda.reason, value(card, "95")[:2]) == ("dynamic-signature-hash", "08")


@pytest.mark.parametrize("ddol", ["9F02", "9F0206"])
def test_a_ddol_without_the_number_fails_dda(ddol: str) -> None:
    card = ChipCard(UNIONPAY, aip="7C00", change={"9F08": "0030", "9F49": ddol})
    result = walk(card)
    assert (result.oda.verdict, result.oda.reason) == ("failed", "ddol-missing")


def terminal_of(kernel: Kernel) -> TerminalData:
    base = load_terminal("china")
    return replace(base, applications=tuple(a for a in base.applications if a.kernel is kernel))


@pytest.mark.parametrize("answer", [0x6985, b"\x80\x05", b""])
def test_an_odd_answer_to_internal_authenticate_has_its_outcome(answer: bytes | int) -> None:
    card = ChipCard(UNIONPAY, aip="7C00", change={"9F08": "0030"})
    card.authenticate = answer
    result = walk(card, terminal=terminal_of(Kernel.UNIONPAY))
    if answer == b"":
        assert result.oda.reason == "dynamic-signature-missing"
    else:
        assert result.outcome is Outcome.TRY_ANOTHER_CARD
