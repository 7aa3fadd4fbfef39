"""The emulated card's side of ISO/IEC 14443-3 and -4, frame by frame."""

from __future__ import annotations

from typing import Literal

import pytest

from devices.nfc.emulated.air.field import Collision, Field
from devices.nfc.emulated.air.iso14443_3 import State, TypeATarget, TypeBTarget
from devices.nfc.emulated.air.iso14443_4 import CardLeft, IsoDepTarget, Limits, waiting_time_s

OK = b"\x90\x00"


class Echo:
    """Answers every command with itself and 9000."""

    def __init__(
        self,
        technology: Literal["A", "B"] = "A",
        uid: str = "01020304",
        ats: str = "0578807102",
        sak: int = 0x20,
    ) -> None:
        self.technology = technology
        self.uid = bytes.fromhex(uid)
        self.ats = bytes.fromhex(ats)
        self.sak = sak
        self.delay_s = 0.0
        self.processed: list[bytes] = []
        self.power: list[str] = []

    def power_on(self) -> None:
        self.power.append("on")

    def power_off(self) -> None:
        self.power.append("off")

    def process(self, command: bytes) -> bytes:
        self.processed.append(command)
        if command == b"leave":
            raise CardLeft
        if command == b"fail":
            raise OSError("no memory")
        return command + OK


def blocks(card: Echo | None = None, **limits: int) -> IsoDepTarget:
    return IsoDepTarget(card or Echo(), Limits(**limits))  # type: ignore[arg-type]


def answer_to(target: IsoDepTarget | TypeATarget | TypeBTarget, frame: str) -> str | None:
    answer = target.on_frame(bytes.fromhex(frame))
    return None if answer is None else answer.frame.hex().upper()


def test_a_command_in_one_block_is_answered_with_its_number() -> None:
    target = blocks()
    assert answer_to(target, "02AA") == "02AA9000"
    assert answer_to(target, "03BB") == "03BB9000"


def test_a_chained_command_is_acknowledged_and_put_together() -> None:
    card = Echo()
    target = blocks(card)
    assert answer_to(target, "12AA") == "A2"
    assert answer_to(target, "13BB") == "A3"
    assert answer_to(target, "02CC") == "02AABBCC9000"
    assert card.processed == [b"\xaa\xbb\xcc"]


def test_a_long_response_is_chained_in_the_readers_frames() -> None:
    target = blocks(reader_frame=16)
    assert answer_to(target, "02" + "11" * 20) == "12" + "11" * 13
    assert answer_to(target, "A3") == "03" + "11" * 7 + "9000"


def test_a_lost_response_is_sent_again_and_not_computed_again() -> None:
    card = Echo()
    target = blocks(card)
    assert answer_to(target, "02AA") == "02AA9000"
    assert answer_to(target, "B2") == "02AA9000"
    assert answer_to(target, "B2") == "02AA9000"
    assert card.processed == [b"\xaa"]


def test_a_lost_command_is_asked_for_again() -> None:
    target = blocks()
    assert answer_to(target, "B2") == "A3"  # its number is 1: block 0 never came
    assert answer_to(target, "02AA") == "02AA9000"


def test_a_lost_piece_of_a_chained_response_is_sent_again() -> None:
    target = blocks(reader_frame=16)
    first = answer_to(target, "02" + "11" * 20)
    assert answer_to(target, "B2") == first
    second = answer_to(target, "A3")
    assert answer_to(target, "A3") == second


def test_a_slow_answer_asks_for_time_first() -> None:
    card = Echo()
    card.delay_s = 0.1
    target = blocks(card)
    request = target.on_frame(bytes.fromhex("02AA"))
    assert request is not None
    assert request.frame[0] == 0xF2
    times = request.frame[1]
    assert times * 0.0048 > 0.1
    answer = target.on_frame(b"\xf2" + bytes([times]))
    assert answer is not None
    assert answer.frame == b"\x02\xaa" + OK
    assert answer.after_s == pytest.approx(0.1)


def test_a_very_slow_answer_asks_again_and_again_within_the_largest_extension() -> None:
    card = Echo()
    card.delay_s = 1.0
    target = blocks(card)
    answer = target.on_frame(bytes.fromhex("02AA"))
    waited, asked = 0.0, 0
    while answer is not None and answer.frame[0] == 0xF2:
        asked += 1
        assert 1 <= answer.frame[1] <= 59
        assert answer.after_s <= 59 * 0.0048
        waited += answer.after_s
        answer = target.on_frame(answer.frame)
    assert asked > 2
    assert answer is not None
    assert answer.frame == b"\x02\xaa" + OK
    assert waited + answer.after_s == pytest.approx(1.0, rel=0.1)


def test_an_extension_that_was_not_asked_for_is_ignored() -> None:
    assert answer_to(blocks(), "F201") is None


def test_deselect_is_confirmed_and_ends_the_protocol() -> None:
    target = blocks()
    assert answer_to(target, "C2") == "C2"
    assert target.deselected


@pytest.mark.parametrize("frame", ["", "00", "E2", "0AFF00", "06AA", "40", "A6"])
def test_rubbish_and_blocks_for_others_get_no_answer(frame: str) -> None:
    assert answer_to(blocks(), frame) is None


def test_a_numbered_card_answers_blocks_with_its_number_only() -> None:
    target = blocks(cid=3)
    assert answer_to(target, "02AA") is None
    assert answer_to(target, "0A05AA") is None
    assert answer_to(target, "0A03AA") == "0A03AA9000"
    assert answer_to(target, "CA03") == "CA03"


def test_waiting_times_double_with_each_step() -> None:
    assert waiting_time_s(0) == pytest.approx(302e-6, rel=0.01)
    assert waiting_time_s(14) == pytest.approx(4.949, rel=0.001)
    assert waiting_time_s(15) == waiting_time_s(4)


def active_a(card: Echo) -> TypeATarget:
    target = TypeATarget(card)
    target.power_on()
    for level, select in enumerate((0x93, 0x95, 0x97)[: len(target.levels)]):
        if level == 0:
            assert answer_to(target, "26") is not None
        part = target.on_frame(bytes([select, 0x20]))
        assert part is not None
        assert target.on_frame(bytes([select, 0x70]) + part.frame) is not None
    return target


def test_anticollision_goes_one_level_for_each_part_of_the_uid() -> None:
    target = TypeATarget(Echo(uid="04112233445566"))
    target.power_on()
    assert answer_to(target, "26") == "4400"
    assert answer_to(target, "9320") == "88041122BF"
    assert answer_to(target, "937088041122BF") == "24"
    assert answer_to(target, "9520") == "3344556644"
    assert answer_to(target, "95703344556644") == "20"
    assert target.state is State.ACTIVE


def test_a_card_in_no_field_says_nothing() -> None:
    assert answer_to(TypeATarget(Echo()), "26") is None
    assert answer_to(TypeBTarget(Echo("B")), "050000") is None


def test_selecting_another_card_puts_this_one_back() -> None:
    target = TypeATarget(Echo())
    target.power_on()
    answer_to(target, "26")
    assert answer_to(target, "9370" + "00" * 5) is None
    assert target.state is State.IDLE
    assert answer_to(target, "26") is not None


def test_a_halted_card_wakes_for_wupa_alone() -> None:
    target = active_a(Echo())
    assert answer_to(target, "5000") is None
    assert target.state is State.HALT
    assert answer_to(target, "26") is None
    assert answer_to(target, "52") is not None


def test_rats_settles_frames_and_pps_is_taken_once() -> None:
    card = Echo()
    target = active_a(card)
    assert answer_to(target, "E050") == "0578807102"
    assert answer_to(target, "D01100") == "D0"
    assert answer_to(target, "D01100") is None
    assert answer_to(target, "02AA") == "02AA9000"
    assert answer_to(target, "26") is None, "an activated card does not hear REQA"


def test_a_card_is_powered_by_activation_and_not_by_polling() -> None:
    card = Echo()
    target = active_a(card)
    assert card.power == []
    answer_to(target, "E080")
    assert card.power == ["on"]
    target.power_off()
    target.power_off()
    assert card.power == ["on", "off"]


def test_a_card_without_iso_14443_4_ignores_rats() -> None:
    assert answer_to(active_a(Echo(sak=0x08)), "E080") is None


def test_type_b_is_found_activated_halted_and_woken() -> None:
    target = TypeBTarget(Echo("B", uid="11223344"))
    target.power_on()
    found = answer_to(target, "050000")
    assert found is not None
    assert found.startswith("5011223344")
    assert answer_to(target, "1D1122334400080100") == "00"
    assert answer_to(target, "02AA") == "02AA9000"
    assert answer_to(target, "C2") == "C2"
    assert answer_to(target, "050000") is None
    assert answer_to(target, "050008") == found
    assert answer_to(target, "5011223344") == "00"


def test_type_b_ignores_attrib_for_another() -> None:
    target = TypeBTarget(Echo("B", uid="11223344"))
    target.power_on()
    answer_to(target, "050000")
    assert answer_to(target, "1D5566778800080100") is None


def test_a_field_holds_cards_and_powers_them() -> None:
    field, card = Field(), Echo()
    field.present(card)
    assert field.exchange(b"\x26", "A") is None
    field.switch(True)
    answer = field.exchange(b"\x26", "A")
    assert answer is not None
    assert field.exchange(b"\x05\x00\x00", "B") is None
    field.remove(card)
    assert field.exchange(b"\x52", "A") is None
    assert field.targets == ()


def test_two_different_cards_collide() -> None:
    field = Field()
    field.present(Echo(uid="01020304"), Echo(uid="04112233445566"))
    field.switch(True)
    both = field.exchange(b"\x26", "A")
    assert both is not None
    assert both.frame == b"\x44\x00", "both answers on top of each other"
    with pytest.raises(Collision):
        field.exchange(b"\x93\x20", "A")


@pytest.mark.parametrize("command", ["leave", "fail"])
def test_a_card_that_leaves_or_fails_falls_silent(command: str) -> None:
    field, card = Field(), Echo()
    field.present(card)
    field.switch(True)
    for frame in ("26", "9320", "93700102030404", "E080"):
        assert field.exchange(bytes.fromhex(frame), "A") is not None
    assert field.exchange(b"\x02" + command.encode(), "A") is None
    assert field.exchange(b"\x03\xaa", "A") is None
    assert bool(field.targets) is (command == "fail")
    assert card.power == ["on", "off"]


@pytest.mark.parametrize(("uid", "ats"), [("010203", "01"), ("01020304", ""), ("01020304", "02")])
def test_a_card_that_no_reader_could_read_is_refused(uid: str, ats: str) -> None:
    with pytest.raises(ValueError, match=r"uid|ats"):
        TypeATarget(Echo(uid=uid, ats=ats))
