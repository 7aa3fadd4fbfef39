"""Transcripts: read, recorded and replayed."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from devices.nfc.contract import CardGone, TransportError
from devices.nfc.kernel import (
    CaKey,
    CaKeyRing,
    Outcome,
    TapResult,
    Transaction,
    load_terminal,
    run_tap,
)
from devices.nfc.kernel.oda import Method, OdaResult, Verdict
from devices.nfc.transcript import (
    Deviation,
    TranscriptCard,
    TranscriptError,
    TranscriptReader,
    may_record_unmasked,
    parse_transcript,
    record,
)
from tests.devices.nfc.kernel.kernel_cards import (
    NOW,
    PAN,
    UNIONPAY,
    VISA,
    ScriptedCard,
    fci,
    quick_answer,
    quick_card,
    tap,
    tlv,
    track2,
)
from tests.devices.nfc.kernel.kernel_rig import PROFILES, Breaking, Presented, ring

TAPPED = datetime.now().replace(microsecond=0)
REAL = "6228000100001117"


def transaction(amount: int = 1280, at: datetime = TAPPED) -> Transaction:
    return Transaction.purchase(amount, at=at)


def replay(text: str, keys: CaKeyRing | None = None) -> TapResult:
    """Run a recording under conditions of its own, far from those it was made under."""
    reader = TranscriptReader(text, "transcript:test.apdu")
    given = Transaction.purchase(1, "THB", at=datetime(2030, 1, 1))
    return run_tap(
        reader.wait_for_card(0),
        **reader.conditions(given, load_terminal("abroad")).arguments(),
        ca_keys=keys or CaKeyRing(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )


def shown(result: TapResult) -> dict[str, Any]:
    story = result.as_json()
    for exchange in story["exchanges"]:
        del exchange["ms"]
    return story


def without_pins(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("# terminal:"))


@pytest.mark.parametrize("amount", [1280, 120000])
@pytest.mark.parametrize("name", PROFILES)
def test_a_card_of_ours_is_recorded_whole_and_replays_the_same(name: str, amount: int) -> None:
    with Presented(name) as card:
        result = tap(card, ring=ring(), amount=amount, at=TAPPED)
    text = record(result, transaction=transaction(amount), terminal=load_terminal("china"))
    assert "# masked: no" in text or result.pan is None
    assert shown(replay(text, ring())) == shown(result)
    assert shown(replay(without_pins(text), ring())) == shown(result)  # inferred from the commands


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_torn_tap_replays_as_a_torn_tap(at: int) -> None:
    with Presented("unionpay-debit") as card:
        result = tap(Breaking(card, at, CardGone()), ring=ring(), at=TAPPED)
    text = record(result, transaction=transaction(), terminal=load_terminal("china"))
    again = replay(text, ring())
    assert (again.outcome, len(again.exchanges)) == (Outcome.TRY_AGAIN, at)


def real_card() -> ScriptedCard:
    """A card that no test CA of ours vouches for."""
    inner = (
        tlv("82", "2000") + tlv("57", track2(REAL)) + tlv("9F36", "0007") + tlv("9F26", "11" * 8)
    )
    inner += tlv("9F10", "07010103A00000") + tlv("5F20", b"DOE/JANE") + tlv("94", "08010100")
    card = quick_card(UNIONPAY, tlv("77", inner))
    card.records = {(1, 1): tlv("70", tlv("5A", REAL), tlv("9F46", bytes(range(96))))}
    return card


def test_a_real_card_is_recorded_masked_and_replays_unauthenticated() -> None:
    result = tap(real_card())
    assert result.outcome is Outcome.ONLINE_REQUEST
    text = record(
        result,
        transaction=transaction(at=NOW),
        terminal=load_terminal("china"),
        note="made\nby hand",
    )
    assert "# masked: yes" in text
    assert "# made" in text
    for secret in (
        REAL,
        REAL.encode().hex(),
        b"JANE".hex().upper(),
        bytes(range(1, 96)).hex().upper(),
    ):
        assert secret not in text
    again = replay(text)
    assert (again.outcome, again.oda.verdict, again.oda.reason) == (
        "online-request",
        "not-performed",
        "masked",
    )
    assert again.masked_pan == result.masked_pan
    before, after = shown(result)["exchanges"], shown(again)["exchanges"]
    assert [sent["command"] for sent in before] == [sent["command"] for sent in after]


def test_only_a_card_that_was_authenticated_under_our_own_ca_is_recorded_whole() -> None:
    own = CaKey(
        rid=bytes.fromhex("A000000333"), index=0xF0, modulus=b"\xff" * 64, exponent=3, own=True
    )
    real = tap(real_card())
    for verdict, whole in ((Verdict.FAILED, False), (Verdict.PASSED, True)):
        oda = OdaResult(method=Method.FDDA, verdict=verdict, ca_key=own)
        assert may_record_unmasked(replace(real, oda=oda)) is whole
    foreign = OdaResult(method=Method.FDDA, verdict=Verdict.PASSED, ca_key=replace(own, own=False))
    assert not may_record_unmasked(replace(real, oda=foreign))


def test_the_number_is_hidden_in_comments_as_well() -> None:
    result = tap(real_card())
    text = record(
        result, transaction=transaction(), terminal=load_terminal("china"), note=f"card {REAL}"
    )
    assert "card 622800******1117" in text


def test_a_recording_of_ours_is_never_taken_for_masked() -> None:
    assert not parse_transcript("# masked: no\n# the rest is masked\n> 00\n< 9000").masked
    assert parse_transcript("# real cards, PAN masked by the author\n> 00\n< 9000").masked


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("# nothing\n", 1),
        ("> 00A4\n? 12", 2),
        ("> 0Z", 1),
        ("> 00A\n< 9000", 1),
        ("00A4\n< 9000", 1),
    ],
)
def test_what_is_no_transcript_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(TranscriptError) as caught:
        parse_transcript(text)
    assert caught.value.line == line


def card(text: str) -> TranscriptCard:
    return TranscriptCard(parse_transcript(text))


def test_a_replay_answers_what_was_recorded_and_stops_at_the_first_deviation() -> None:
    replayed = card("> 00A4040000\n< 9000\n# next\n> 00B2010C00\n< 6A83")
    assert replayed.transceive(bytes.fromhex("00A4040000")) == b"\x90\x00"
    with pytest.raises(Deviation) as caught:
        replayed.transceive(bytes.fromhex("00B2020C00"))
    message = str(caught.value)
    assert "command 2 (line 4)" in message
    assert "00B2010C00" in message
    assert "00B2020C00" in message
    assert replayed.transceive(bytes.fromhex("00B2010C00")) == b"\x6a\x83"
    with pytest.raises(TransportError) as ended:
        replayed.transceive(bytes.fromhex("00B2020C00"))
    assert ended.value.reason == "transcript-ended"


def test_an_empty_command_is_not_asserted_and_an_empty_response_is_no_answer() -> None:
    replayed = card(">\n< 9000\n> 00B2010C00\n<\n> 00B2020C00")
    assert replayed.transceive(b"\x00\xa4\x04\x00\x00") == b"\x90\x00"
    for command in ("00B2010C00", "00B2020C00"):
        with pytest.raises(CardGone):
            replayed.transceive(bytes.fromhex(command))


def test_a_recording_without_le_is_the_same_command() -> None:
    assert card("> 00A4040005A000000003\n< 9000").transceive(
        bytes.fromhex("00A4040005A00000000300")
    )
    with pytest.raises(Deviation):
        card("> 00A4040005A000000003\n< 9000").transceive(bytes.fromhex("00A4040005A00000000301"))


def test_a_misprinted_get_response_is_read_as_one() -> None:
    replayed = card("> 00A4040005A00000000300\n< 6133\n> 000C000033\n< 9000")
    replayed.transceive(bytes.fromhex("00A4040005A00000000300"))
    assert replayed.transceive(bytes.fromhex("00C0000033")) == b"\x90\x00"


def test_a_recording_that_starts_at_select_is_entered_there() -> None:
    result = tap(quick_card(VISA), direct_aid=VISA)
    text = record(result, transaction=transaction(at=NOW), terminal=load_terminal("china"))
    assert shown(replay(text)) == shown(result)
    assert parse_transcript(text).starts_at_select == VISA
    unpinned = "\n".join(">" if line[:1] == ">" else line for line in text.splitlines())
    assert parse_transcript(unpinned).starts_at_select == VISA
    assert shown(replay(unpinned)) == shown(result)
    assert parse_transcript(record(tap(quick_card(VISA)))).starts_at_select is None


def test_conditions_are_told_from_commands_down_to_the_qualifiers() -> None:
    scripted = quick_card()
    scripted.applications = {
        UNIONPAY: fci(
            UNIONPAY, pdol="9F6604 9F0206 5F2A02 9A03 9F2103 9F4104 9F3501 9F1A02 DF0102 9F3704"
        )
    }
    terminal = load_terminal("china").with_limits(floor=5000)
    result = tap(scripted, amount=1280, terminal=terminal)
    text = without_pins(record(result, transaction=transaction(at=NOW), terminal=terminal))
    reader = TranscriptReader(text, "x")
    conditions = reader.conditions(
        Transaction.purchase(1, "THB", at=datetime(2030, 1, 1)), load_terminal("abroad")
    )
    assert conditions.transaction.day == NOW.date()
    assert (conditions.transaction.amount_minor, conditions.transaction.currency) == (1280, "156")
    assert conditions.transaction.hour == NOW.time()
    assert conditions.transaction.unpredictable_number == result.unpredictable_number
    assert conditions.terminal.extra[0x9F1A] == b"\x01\x56"
    assert shown(replay(text)) == shown(result)


def test_a_byte_order_mark_of_an_editor_is_no_part_of_a_transcript(tmp_path: Path) -> None:
    file = tmp_path / "tap.apdu"
    file.write_bytes(b"\xef\xbb\xbf> 00A4040000\r\n< 9000\r\n")
    card = TranscriptReader.open(file).wait_for_card(0)
    assert card.transceive(bytes.fromhex("00A4040000")) == b"\x90\x00"


def test_the_reader_presents_the_card_once_and_again_when_it_is_asked_to(tmp_path: Path) -> None:
    file = tmp_path / "tap.apdu"
    file.write_text("> 00A4040000\n< 9000\n")
    reader = TranscriptReader.open(file)
    assert reader.path == f"transcript:{file}"
    assert reader.emulated
    for _ in range(2):
        card = reader.wait_for_card(1.0)
        assert card is not None
        assert card.transceive(bytes.fromhex("00A4040000")) == b"\x90\x00"
        reader.release()
        assert reader.wait_for_card(0) is None
        reader.present()
    card = reader.wait_for_card(0)
    assert card is not None
    assert card.description.technology == "transcript"
    assert reader.wait_for_removal(0)
    reader.signal("ready")
    reader.close()
    with pytest.raises(OSError, match="absent"):
        TranscriptReader.open(tmp_path / "absent.apdu")


def test_pins_that_do_not_hold_together_are_told() -> None:
    reader = TranscriptReader("# terminal: [terminal\n> 00A4040000\n< 9000", "x")
    from devices.nfc.kernel import TerminalError

    with pytest.raises(TerminalError):
        reader.conditions(transaction(), load_terminal("china"))


def test_an_unmasked_number_never_leaves_in_json() -> None:
    assert PAN not in str(tap(quick_card(UNIONPAY, quick_answer())).as_json())


def test_a_replay_recorded_again_keeps_the_conditions_of_the_first() -> None:
    with Presented("unionpay-debit") as held:
        result = tap(held, ring=ring(), at=TAPPED)
    again = replay(record(result), ring())
    assert shown(replay(record(again), ring())) == shown(result)
    with pytest.raises(ValueError, match="transaction"):
        record(TapResult(outcome=Outcome.TRY_AGAIN, reason="none"))


@pytest.mark.parametrize(
    "text",
    [
        "> 00A4040000\n< 6F009000",
        ">00a4040000\r\n<6f009000\r\n",
        "> 00 A4 04 00 00   # SELECT\n< 6F 00 90 00 ; done",
        "-> 00:A4:04:00:00\n<- 6F:00:90:00",
        "=> 0x00 0xA4 0x04 0x00 0x00\n<= 0x6F 0x00 [0x90 0x00]",
        ">> 00A40400 00\n<< 6F00 9000 // fine",
        "C-APDU: 00A4040000\nR-APDU: 6F00|9000",
        "capdu: 00A4040000\nRAPDU: 6F009000",
        "; a remark\n// another\n>\n00A404\n0000\n<\n6F00\n9000",
        "> 00A404\n\n  0000\n\n< 6F00\n\t9000",
    ],
)
def test_other_tools_ways_of_writing_are_read(text: str) -> None:
    (exchange,) = parse_transcript(text).exchanges
    assert (exchange.command, exchange.response) == (
        bytes.fromhex("00A4040000"),
        bytes.fromhex("6F009000"),
    )


# A recording of another reader's walk


def exchanges_of(result: TapResult) -> list[str]:
    lines = []
    for exchange in result.exchanges:
        lines += [f"> {exchange.command.hex()}", f"< {exchange.response.hex()}"]
    return lines


def foreign(aid: bytes = VISA, amount: int = 1280) -> tuple[TapResult, list[str]]:
    """A walk, and its exchanges as lines without the conditions of this project's recordings."""
    result = tap(quick_card(aid), amount=amount, number=b"\x0a\x0b\x0c\x0d")
    return result, exchanges_of(result)


def replayed(lines: list[str]) -> tuple[TapResult, TranscriptReader]:
    reader = TranscriptReader("\n".join(lines), "transcript:foreign")
    card = reader.wait_for_card(0)
    assert card is not None
    transaction = Transaction.purchase(9900, at=NOW)
    arguments = reader.conditions(transaction, load_terminal("china")).arguments()
    result = run_tap(
        card,
        **arguments,
        ca_keys=CaKeyRing(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )
    return result, reader


def test_a_recording_that_fits_is_answered_in_its_order_without_a_word() -> None:
    walked, lines = foreign()
    result, reader = replayed(lines)
    assert (result.outcome, result.pan) == (walked.outcome, walked.pan)
    assert reader.departures == ()


@pytest.mark.parametrize("change", ["more-before", "other-order", "other-values", "le"])
def test_a_foreign_walk_is_answered_by_command_and_says_so(change: str) -> None:
    walked, lines = foreign()
    pairs = [lines[at : at + 2] for at in range(0, len(lines), 2)]
    if change == "more-before":  # another reader asked for more than this terminal does
        pairs.insert(0, ["> 00A404000E315041592E5359532E444446303100", "< 6A82"])
        pairs.insert(2, ["> 80CA9F1700", "< 9F1701039000"])
    elif change == "other-order":
        pairs[0], pairs[1] = pairs[1], pairs[0]
    elif change == "other-values":
        pairs[2][0] = pairs[2][0][:-10] + "FF" * 4 + "00"
        pairs[2][0] = pairs[2][0].replace("27004080", "B6004000")
    else:
        pairs[0][0] = pairs[0][0][:-2] + "FF"
    text = [line for pair in pairs for line in pair]
    if change == "other-order":  # the recording begins with SELECT, so the walk begins there
        result, reader = replayed(["> 00B0000000", "< 6D00", *text])
    else:
        result, reader = replayed(text)
    assert (result.outcome, result.pan) == (walked.outcome, walked.pan)
    if change != "other-values":  # where the terminal can send the recorded values, it does
        assert reader.departures


def test_what_a_foreign_recording_lacks_is_answered_as_a_card_without_it_would() -> None:
    text = "> 00A40400050102030405\n< 9000\n> 80CA9F1700\n< 9F1701039000"
    card = TranscriptCard(parse_transcript(text), by_command=True)
    assert card.transceive(bytes.fromhex("00A4040005A0000000030000")) == b"\x6a\x82"
    assert card.transceive(bytes.fromhex("00B2010C00")) == b"\x6a\x83"
    assert card.transceive(bytes.fromhex("80CA9F1700")) == bytes.fromhex("9F1701039000")
    assert len(card.departures) == 3
    with pytest.raises(TransportError):
        card.transceive(bytes.fromhex("80A8000002830000"))


def test_a_cryptogram_of_another_type_is_not_taken_for_the_one_that_was_asked() -> None:
    text = "> 80AE8000020102\n< 77009000\n> 80AE4000020304\n< 80009000"
    card = TranscriptCard(parse_transcript(text), by_command=True)
    assert card.transceive(bytes.fromhex("80AE400002050600")) == bytes.fromhex("80009000")
    assert card.transceive(bytes.fromhex("80AE900002070800")) == bytes.fromhex("77009000")
    assert ["line 3" in card.departures[0], "line 1" in card.departures[1]] == [True, True]
    # an approval with a signature (P1 50) that the recording has without: the card goes online
    assert card.transceive(bytes.fromhex("80AE500002050600")) == bytes.fromhex("77009000")
    signed = TranscriptCard(parse_transcript("> 80AE5000020304\n< 80009000"), by_command=True)
    with pytest.raises(TransportError):
        signed.transceive(bytes.fromhex("80AE400002030400"))


def test_our_own_recordings_stop_at_the_first_deviation() -> None:
    result = tap(quick_card(VISA))
    reader = TranscriptReader(record(result), "transcript:own")
    card = reader.wait_for_card(0)
    assert card is not None
    with pytest.raises(Deviation):
        card.transceive(bytes.fromhex("00B2010C00"))
