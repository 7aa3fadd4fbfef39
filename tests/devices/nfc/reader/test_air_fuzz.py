"""Invalid frames for every party on the air: none of them fails or hangs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from devices.nfc.emulated.air.field import Field
from devices.nfc.emulated.pn532.chip import InvalidSyntax, Pn532Chip, StillPolling
from devices.nfc.emulated.pn532.frames import HostStream
from devices.nfc.reader.iso_dep import (
    Activation,
    FrameError,
    FrameTimeout,
    IsoDepInitiator,
    ProtocolError,
)
from tests.devices.nfc.nfc_cards import EchoCard

_ACTIVATION = (
    *("26", "52", "9320", "937088041122BF", "9520", "95703344556644", "5000", "E080", "D01100"),
    *("050000", "050008", "1D0411223300080100", "5004112233"),
)
_CODES = bytes.fromhex("0002040608121416324042444A4E5254607F8C")
_BLOCKS = st.one_of(
    st.binary(max_size=8),
    st.builds(
        lambda pcb, rest: bytes([pcb]) + rest,
        st.sampled_from([0x02, 0x03, 0x12, 0x13, 0xA2, 0xA3, 0xB2, 0xB3, 0xC2, 0xF2, 0xE0]),
        st.binary(max_size=6),
    ),
    st.sampled_from([bytes.fromhex(frame) for frame in _ACTIVATION]),
)
_DOCUMENTED = (FrameTimeout, FrameError, ProtocolError)


def examples(count: int) -> Any:
    return settings(max_examples=count, deadline=None)


def cards_take_anything(frames: list[tuple[bytes, str]]) -> None:
    field = Field()
    field.present(EchoCard("A"), EchoCard("B"))
    field.switch(True)
    for frame, technology in frames:
        answer = field.exchange(frame, technology)  # type: ignore[arg-type]
        if answer is not None:
            assert answer.frame
            assert len(answer.frame) <= 254
            assert answer.after_s == 0


def readers_take_anything(answers: list[bytes], frame: int) -> None:
    script = iter(answers)

    def send(block: bytes, timeout_s: float) -> bytes:
        assert 0 < timeout_s < 5.1
        assert len(block) <= frame - 2
        try:
            return next(script)
        except StopIteration:
            raise FrameTimeout from None

    clock = itertools.count()
    reader = IsoDepInitiator(
        send,
        Activation(card_frame=frame, waiting_time_s=0.0048),
        clock=lambda: next(clock) / 10,
    )
    try:
        reader.exchange(bytes(40))
    except _DOCUMENTED:
        reader.deselect()


def chips_take_anything(commands: list[tuple[int, bytes]]) -> None:
    field = Field()
    field.present(EchoCard("A"), EchoCard("A", "01020304"), EchoCard("B"))
    chip = Pn532Chip(field, lambda _: None)
    for code, payload in commands:
        try:
            assert len(chip.execute(code, payload)) <= 263
        except (InvalidSyntax, StillPolling):
            continue


_FRAMES = st.lists(st.tuples(_BLOCKS, st.sampled_from(["A", "B"])), max_size=30)
_COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(list(_CODES)),
        st.one_of(
            st.binary(max_size=10),
            _BLOCKS,
            st.sampled_from([b"\x02\x00", b"\x01\x03\x00", b"\x01\x00", b"\x01\x01", b"\x05\x01"]),
        ),
    ),
    max_size=20,
)


@given(_FRAMES)
@examples(200)
def test_cards_take_any_frames(frames: list[tuple[bytes, str]]) -> None:
    cards_take_anything(frames)


@given(st.lists(_BLOCKS, max_size=40), st.sampled_from([16, 64, 256]))
@examples(200)
def test_readers_take_any_blocks(answers: list[bytes], frame: int) -> None:
    readers_take_anything(answers, frame)


@given(_COMMANDS)
@examples(200)
def test_chips_take_any_commands(commands: list[tuple[int, bytes]]) -> None:
    chips_take_anything(commands)


@given(st.lists(st.binary(max_size=30), max_size=10))
@examples(200)
def test_the_host_link_takes_any_bytes(pieces: list[bytes]) -> None:
    stream = HostStream()
    for piece in pieces:
        stream.feed(piece)
    stream.feed(bytes(300))
    marker = bytes.fromhex("0000FF02FED4022A00")
    assert any(frame.code == 0x02 for frame in stream.feed(bytes(70_000) + marker))


@pytest.mark.long
@pytest.mark.parametrize(
    ("take", "what"),
    [
        (lambda drawn: cards_take_anything(drawn), _FRAMES),
        (lambda drawn: readers_take_anything(drawn, 64), st.lists(_BLOCKS, max_size=40)),
        (lambda drawn: chips_take_anything(drawn), _COMMANDS),
    ],
    ids=["cards", "readers", "chips"],
)
def test_ten_thousand_of_each(take: Any, what: Any) -> None:
    @given(what)
    @examples(10_000)
    def run(drawn: Any) -> None:
        take(drawn)

    run()
