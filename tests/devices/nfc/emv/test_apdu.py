"""Commands and responses as bytes, and the exchanger that follows 61xx and 6Cxx."""

from __future__ import annotations

import itertools

import pytest

from devices.nfc.contract import CardDescription, CardGone
from devices.nfc.emv.apdu import (
    ApduError,
    Command,
    Exchanger,
    Response,
    get_processing_options,
    read_record,
    select,
)


class Answers:
    description = CardDescription(technology="A", uid=b"\x01\x02\x03\x04")

    def __init__(self, *answers: str) -> None:
        self.answers = [bytes.fromhex(answer) for answer in answers]
        self.sent: list[str] = []

    def transceive(self, command: bytes) -> bytes:
        self.sent.append(command.hex().upper())
        if not self.answers:
            raise CardGone
        return self.answers.pop(0)


def exchanger(*answers: str) -> tuple[Exchanger, Answers]:
    card = Answers(*answers)
    ticks = itertools.count()
    return Exchanger(card, lambda: next(ticks) / 1000), card


@pytest.mark.parametrize(
    ("raw", "body", "le"),
    [
        ("00A40400", "", None),
        ("00B2010C00", "", 0),
        ("80A8000002830000", "8300", 0),
        ("00A4040005A000000003", "A000000003", None),
        ("00A4040005A00000000301", "A000000003", 1),
    ],
)
def test_every_short_case_parses_and_builds_back(raw: str, body: str, le: int | None) -> None:
    command = Command.parse(bytes.fromhex(raw))
    assert (command.body.hex().upper(), command.le) == (body, le)
    assert command.to_bytes().hex().upper() == raw


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("00A4", "header"),
        ("00A4040005A0", "Lc"),
        ("00A40400000001AA", "Lc"),
        ("00A4040001AA0000", "Lc"),
    ],
)
def test_a_command_of_no_case_names_the_field(raw: str, field: str) -> None:
    with pytest.raises(ApduError) as caught:
        Command.parse(bytes.fromhex(raw))
    assert caught.value.field == field


def test_builders_give_the_commands_of_the_specification() -> None:
    assert (
        select(bytes.fromhex("A0000000041010")).to_bytes().hex().upper()
        == "00A4040007A000000004101000"
    )
    assert get_processing_options(b"").to_bytes().hex().upper() == "80A8000002830000"
    assert read_record(4, 2).to_bytes().hex().upper() == "00B2022400"
    assert get_processing_options(bytes(0x80)).to_bytes()[4:8].hex() == "83838180"
    with pytest.raises(ApduError):
        get_processing_options(bytes(253))


@pytest.mark.parametrize("raw", ["", "90", "00" * 257 + "9000"])
def test_a_response_of_impossible_length_is_an_error(raw: str) -> None:
    with pytest.raises(ApduError):
        Response.parse(bytes.fromhex(raw))


def test_6c_repeats_the_command_with_that_le() -> None:
    sender, card = exchanger("6C0A", "AABB9000")
    assert sender.send(select(b"\xa0\0\0\0\3"), "SELECT").body == b"\xaa\xbb"
    assert card.sent[1] == card.sent[0][:-2] + "0A"


def test_6c_twice_is_an_answer_and_not_a_loop() -> None:
    sender, card = exchanger("6C0A", "6C0B", "9000")
    assert sender.send(select(b"\xa0\0\0\0\3"), "SELECT").sw == 0x6C0B
    assert len(card.sent) == 2


def test_61_collects_the_parts_in_order() -> None:
    sender, card = exchanger("AA6101", "BB6102", "CCDD9000")
    response = sender.send(read_record(1, 1), "READ RECORD")
    assert (response.body.hex(), response.sw) == ("aabbccdd", 0x9000)
    assert card.sent[1:] == ["00C0000001", "00C0000002"]


def test_a_get_response_with_the_wrong_le_is_sent_again() -> None:
    sender, card = exchanger("6120", "6C02", "CCDD9000")
    assert sender.send(select(b"\xa0\0\0\0\3"), "SELECT").body == b"\xcc\xdd"
    assert card.sent[1:] == ["00C0000020", "00C0000002"]


def test_61_without_end_is_an_error() -> None:
    sender, _ = exchanger(*["6101"] * 50)
    with pytest.raises(ApduError):
        sender.send(read_record(1, 1), "READ RECORD")


def test_every_exchange_is_kept_with_its_time_also_the_unanswered_one() -> None:
    sender, _ = exchanger("6A82")
    sender.send(select(b"\xa0\0\0\0\3"), "SELECT")
    with pytest.raises(CardGone):
        sender.send(read_record(1, 1), "READ RECORD")
    assert [exchange.response.hex() for exchange in sender.exchanges] == ["6a82", ""]
    assert [round(exchange.elapsed_ms) for exchange in sender.exchanges] == [1, 1]
