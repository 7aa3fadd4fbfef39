"""The reader's side of ISO/IEC 14443-4, against a scripted air and against the emulated card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import pytest
from hypothesis import given, settings, strategies as st

from devices.nfc.emulated.air.iso14443_4 import IsoDepTarget, Limits
from devices.nfc.reader.iso_dep import (
    Activation,
    FrameError,
    FrameTimeout,
    IsoDepInitiator,
    ProtocolError,
    TooSlow,
    attrib,
    parse_atqb,
    parse_ats,
    rats,
)

PLAIN = Activation(card_frame=256, waiting_time_s=0.0048)


class Air:
    """Plays back what a card says: hex frames, or "-" for silence and "?" for a damaged one."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)
        self.sent: list[str] = []
        self.timeouts: list[float] = []

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        self.sent.append(frame.hex().upper())
        self.timeouts.append(timeout_s)
        answer = next(self._answers)
        if answer == "-":
            raise FrameTimeout
        if answer == "?":
            raise FrameError
        return bytes.fromhex(answer)


def initiator(air: Air, activation: Activation = PLAIN, **options: float) -> IsoDepInitiator:
    return IsoDepInitiator(air.send, activation, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ats", "frame", "waiting_time_s", "guard_time_s", "historical"),
    [
        ("01", 32, 0.00483, 0, ""),
        ("0202", 32, 0.00483, 0, ""),
        ("0578807102", 256, 0.0387, 0.000604, ""),
        ("04687102", 256, 0.0387, 0.000604, ""),
        ("0328C1", 256, 1.237, 0.000604, ""),
        ("0A7880F00280318066B1", 256, 0.00483, 0, "80318066B1"),
        ("057080F002", 16, 0.00483, 0, ""),
        ("057F804002", 256, 0.00483, 0, ""),
    ],
)
def test_an_answer_to_select_is_read_whatever_it_leaves_out(
    ats: str, frame: int, waiting_time_s: float, guard_time_s: float, historical: str
) -> None:
    parsed = parse_ats(bytes.fromhex(ats))
    assert parsed.card_frame == frame
    assert parsed.waiting_time_s == pytest.approx(waiting_time_s, rel=0.01)
    assert parsed.guard_time_s == pytest.approx(guard_time_s, rel=0.01)
    assert parsed.historical.hex().upper() == historical


def test_an_answer_to_select_that_announces_more_than_it_has_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"TB\(1\)"):
        parse_ats(bytes.fromhex("037811"))


@given(st.binary(max_size=24))
def test_no_answer_to_select_breaks_the_parser(ats: bytes) -> None:
    try:
        parsed = parse_ats(ats)
    except ProtocolError:
        return
    assert 16 <= parsed.card_frame <= 256
    assert 0 < parsed.waiting_time_s < 5


@given(st.binary(max_size=20))
def test_no_atqb_breaks_the_parser(atqb: bytes) -> None:
    try:
        parsed = parse_atqb(atqb)
    except ProtocolError:
        return
    assert 16 <= parsed.card_frame <= 256


def test_rats_and_attrib_offer_the_readers_frame() -> None:
    atqb = bytes.fromhex("501122334400000000008141")
    assert rats(256).hex().upper() == "E080"
    assert rats(253).hex().upper() == "E070"
    assert attrib(atqb, 256).hex().upper() == "1D1122334400080100"


def test_a_silent_card_is_asked_twice_and_given_up() -> None:
    air = Air("-", "-", "-")
    with pytest.raises(FrameTimeout):
        initiator(air).exchange(b"\xaa")
    assert air.sent == ["02AA", "B2", "B2"]


def test_a_card_with_a_long_waiting_time_is_asked_once() -> None:
    air = Air("-", "-")
    with pytest.raises(FrameTimeout):
        initiator(air, Activation(card_frame=256, waiting_time_s=0.0387)).exchange(b"\xaa")
    assert air.sent == ["02AA", "B2"]


def test_a_command_that_never_arrived_is_sent_again() -> None:
    air = Air("-", "A3", "02BB9000")
    assert initiator(air).exchange(b"\xaa") == b"\xbb\x90\x00"
    assert air.sent == ["02AA", "B2", "02AA"]


def test_a_damaged_answer_is_asked_for_again() -> None:
    air = Air("?", "02BB9000")
    assert initiator(air).exchange(b"\xaa") == b"\xbb\x90\x00"
    assert air.sent == ["02AA", "B2"]


def test_a_damaged_piece_of_a_chained_answer_is_acknowledged_again() -> None:
    air = Air("12BB", "?", "03CC9000")
    assert initiator(air).exchange(b"\xaa") == b"\xbb\xcc\x90\x00"
    assert air.sent == ["02AA", "A3", "A3"]


def test_extra_time_is_granted_as_asked() -> None:
    air = Air("F20A", "02BB9000")
    initiator(air).exchange(b"\xaa")
    assert air.sent == ["02AA", "F20A"]
    assert air.timeouts[1] == pytest.approx(10 * 0.0048 + 0.0036, rel=0.01)


def test_reserved_extensions_count_as_the_largest() -> None:
    air = Air("F23F", "02BB9000")
    initiator(air).exchange(b"\xaa")
    assert air.timeouts[1] == pytest.approx(59 * 0.0048 + 0.0036, rel=0.01)


def test_a_card_that_asks_for_time_for_ever_is_too_slow() -> None:
    clock = iter(range(100))
    air = Air(*["F23B"] * 100)
    with pytest.raises(TooSlow, match="5 s"):
        initiator(air, clock=lambda: next(clock)).exchange(b"\xaa")  # type: ignore[arg-type]
    assert len(air.sent) < 10


@pytest.mark.parametrize("answer", ["F200", "03BB9000", "0A00BB", "C2", "E0"])
def test_what_the_standard_forbids_is_a_protocol_error(answer: str) -> None:
    with pytest.raises(ProtocolError):
        initiator(Air(answer)).exchange(b"\xaa")


def test_a_card_that_never_takes_the_command_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        initiator(Air(*["A3"] * 10)).exchange(b"\xaa")


def test_deselecting_a_card_that_is_gone_is_no_error() -> None:
    air = Air("-", "-")
    initiator(air).deselect()
    assert air.sent == ["C2", "C2"]


Loss = Literal["", "there", "back", "damaged"]


class CountingCard:
    """Answers with what it got and how many commands it had."""

    technology: Literal["A", "B"] = "A"
    uid = bytes(4)
    sak = 0x20
    ats = b"\x01"
    delay_s = 0.0

    def __init__(self) -> None:
        self.processed: list[bytes] = []

    def power_on(self) -> None: ...

    def power_off(self) -> None: ...

    def process(self, command: bytes) -> bytes:
        self.processed.append(command)
        return command + bytes([len(self.processed) & 0xFF]) + b"\x90\x00"


def lossy(target: IsoDepTarget, losses: Iterable[Loss]) -> Callable[[bytes, float], bytes]:
    """An air on which frames are lost on the way there, on the way back, or damaged."""
    script = iter(losses)

    def send(frame: bytes, timeout_s: float) -> bytes:
        loss = next(script, "")
        if loss == "there":
            raise FrameTimeout
        answer = target.on_frame(frame)
        if answer is None or loss == "back":
            raise FrameTimeout
        if loss == "damaged":
            raise FrameError
        return answer.frame

    return send


@given(
    commands=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6),
    losses=st.lists(st.sampled_from(["", "", "", "there", "back", "damaged"]), max_size=60),
    reader_frame=st.sampled_from([16, 32, 64, 256]),
    card_frame=st.sampled_from([16, 32, 64, 256]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_lost_on_the_air_no_command_is_carried_out_twice(
    commands: list[bytes], losses: list[Loss], reader_frame: int, card_frame: int
) -> None:
    card = CountingCard()
    target = IsoDepTarget(card, Limits(reader_frame=reader_frame, card_frame=card_frame))
    reader = IsoDepInitiator(
        lossy(target, losses), Activation(card_frame=card_frame, waiting_time_s=0.0048)
    )
    for number, command in enumerate(commands, start=1):
        try:
            response = reader.exchange(command)
        except (FrameTimeout, FrameError):
            assert card.processed in (commands[:number], commands[: number - 1])
            return
        assert response == command + bytes([number]) + b"\x90\x00"
    assert card.processed == commands
