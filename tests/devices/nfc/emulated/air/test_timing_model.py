"""The modelled time of an emulated tap."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from devices.nfc.emulated.air.timing_model import modelled_ms


@dataclass(frozen=True)
class Apdus:
    command: bytes
    response: bytes


SELECT = Apdus(bytes.fromhex("00A40400") + bytes(16), bytes(60))
GPO = Apdus(bytes.fromhex("80A80000") + bytes(37), bytes(110))
RECORD = Apdus(bytes.fromhex("00B2010C00"), bytes(180))
GENERATE = Apdus(bytes.fromhex("80AE5000") + bytes(40), bytes(160))


def test_no_exchange_is_an_activation_alone() -> None:
    time = modelled_ms([])
    assert time.total_ms == time.activation_ms
    assert 9 < time.activation_ms < 12


def test_the_air_carries_nine_bits_a_byte_at_106_kbit_s() -> None:
    short = modelled_ms([Apdus(bytes(5), bytes(2))])
    longer = modelled_ms([Apdus(bytes(5), bytes(102))])
    assert longer.frames_ms - short.frames_ms == pytest.approx(100 * 9 / 105.9375, rel=1e-6)
    assert longer.turn_rounds_ms == short.turn_rounds_ms


def test_a_response_in_several_blocks_costs_turn_rounds() -> None:
    one = modelled_ms([Apdus(bytes(5), bytes(250))])
    chained = modelled_ms([Apdus(bytes(5), bytes(250))], reader_frame=64)
    assert chained.turn_rounds_ms > one.turn_rounds_ms
    assert chained.frames_ms > one.frames_ms


def test_a_full_offline_tap_comes_out_where_published_ones_do() -> None:
    quick = modelled_ms([SELECT, SELECT, GPO, RECORD, RECORD, RECORD, RECORD])
    assert 250 < quick.total_ms < 340
    chip = modelled_ms([SELECT, SELECT, GPO, RECORD, RECORD, RECORD, GENERATE])
    assert 250 < chip.total_ms < 400


def test_the_cryptogram_is_counted_where_it_is_computed() -> None:
    quick = modelled_ms([GPO])
    chip = modelled_ms([GPO, GENERATE])
    assert quick.card_ms == 130
    assert chip.card_ms == 150


def test_a_card_that_knows_its_own_times_is_believed() -> None:
    assert modelled_ms([SELECT, GPO], card_ms=[7.0, 9.5]).card_ms == 16.5
    with pytest.raises(ValueError, match="zip"):
        modelled_ms([SELECT, GPO], card_ms=[7.0])


def test_the_breakdown_adds_up_and_calls_itself_a_model() -> None:
    shown = modelled_ms([SELECT, GPO]).as_json()
    parts = ("activation_ms", "frames_ms", "turn_rounds_ms", "card_ms")
    assert shown["total_ms"] == pytest.approx(
        sum(float(str(shown[part])) for part in parts), abs=0.1
    )
    assert shown["kind"] == "model"
