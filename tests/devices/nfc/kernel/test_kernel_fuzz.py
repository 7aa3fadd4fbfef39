"""Cards and texts broken in every way give an outcome or a documented error, without delay."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from devices.nfc.contract import CardDescription, CardGone
from devices.nfc.emv.apdu import ApduError, Command, Response
from devices.nfc.emv.ber_tlv import TlvError, fill_dol, parse, parse_dol
from devices.nfc.emv.masking import mask_body, pans_in
from devices.nfc.kernel import Outcome, TapResult, Transaction, load_terminal, run_tap
from devices.nfc.transcript import TranscriptError, parse_transcript, record
from tests.devices.nfc.kernel.kernel_rig import Presented, ring

SCHEMES = ("unionpay-debit", "visa-abroad", "mastercard-abroad", "se-phone")
LONG = 100_000
MOST_CPU_S = 0.050
NUMBER = b"\x01\x02\x03\x04"
NOW = datetime.now().replace(microsecond=0)
TERMINAL = load_terminal("china").with_limits(floor=5000)


class Answering:
    """A card that gives these answers in their order, whatever it is asked."""

    description = CardDescription(technology="A", uid=b"\x01\x02\x03\x04")

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = iter(answers)

    def transceive(self, command: bytes) -> bytes:
        answer = next(self._answers, None)
        if answer is None:
            raise CardGone
        return answer


@cache
def honest(name: str) -> tuple[bytes, ...]:
    """What an emulated card answered to one tap with a known number."""
    with Presented(name) as card:
        result = walk(card)
    assert result.outcome in (Outcome.ONLINE_REQUEST, Outcome.OFFLINE_APPROVED)
    return tuple(exchange.response for exchange in result.exchanges)


def walk(card: object) -> TapResult:
    transaction = replace(Transaction.purchase(1280, at=NOW), unpredictable_number=NUMBER)
    return run_tap(
        card,  # type: ignore[arg-type]
        transaction=transaction,
        terminal=TERMINAL,
        ca_keys=ring(),
        random_bytes=os.urandom,
        clock=time.perf_counter,
    )


@pytest.fixture(autouse=True, scope="module")
def only_their_own_rubbish() -> Iterator[None]:
    """Leave what earlier tests hold out of the collections that fall into a measured walk."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def check_tap(answers: Sequence[bytes]) -> float:
    """Walk the card, show and record the result; seconds of CPU that the walk took."""
    began = time.thread_time()
    result = walk(Answering(answers))
    taken = time.thread_time() - began
    assert result.outcome in Outcome
    assert result.reason
    assert result.as_json()["outcome"] == result.outcome
    if result.pan is not None:
        assert result.pan not in str(result.as_json())
    return taken


def check_tlv(raw: bytes) -> float:
    """Parse as TLV, DOL, APDU and mask; only the documented errors come out."""
    began = time.thread_time()
    for action in (parse, parse_dol, Command.parse, Response.parse):
        try:
            action(raw)  # type: ignore[operator]
        except (TlvError, ApduError) as error:
            assert str(error).count("\n") == 0
            assert 0 <= error.position <= max(len(raw), 256)
    try:
        filled = fill_dol(parse_dol(raw), {0x9F02: bytes(6)})
        assert len(filled) <= 255 * len(raw)
    except TlvError:
        pass
    assert len(mask_body(raw, pans_in([raw]))) == len(raw)
    return time.thread_time() - began


def mutate(answers: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """One to four changes: flip, cut, grow, repeat, swap, drop, another status word."""
    out = list(answers)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out))
        out[at] = chance.choice(_CHANGES)(out[at], chance)
        if chance.random() < 0.1:
            other = chance.randrange(len(out))
            out[at], out[other] = out[other], out[at]
        if chance.random() < 0.05:
            out.insert(at, out[at])
    return out


def _flip(answer: bytes, chance: random.Random) -> bytes:
    if not answer:
        return answer
    at = chance.randrange(len(answer))
    return answer[:at] + bytes((answer[at] ^ 1 << chance.randrange(8),)) + answer[at + 1 :]


def _cut(answer: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(answer))
    return answer[:at] + (answer[-2:] if chance.random() < 0.7 else b"")


def _grow(answer: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(answer))
    return answer[:at] + chance.randbytes(chance.randint(1, 40)) + answer[at:]


def _repeat(answer: bytes, chance: random.Random) -> bytes:
    start = chance.randint(0, len(answer))
    end = chance.randint(start, len(answer))
    return answer[:end] + answer[start:end] + answer[end:]


def _status(answer: bytes, chance: random.Random) -> bytes:
    words = (0x6283, 0x6700, 0x6985, 0x6986, 0x6984, 0x6A81, 0x6A82, 0x6A83, 0x6100, 0x6C00, 0x6CFF)
    return answer[:-2] + chance.choice(words).to_bytes(2, "big")


def _drop(answer: bytes, chance: random.Random) -> bytes:
    return b"\x90\x00" if chance.random() < 0.5 else b""


def _noise(answer: bytes, chance: random.Random) -> bytes:
    body = chance.randbytes(chance.randint(0, 256))
    return chance.choice((b"\x70", b"\x77", b"\x80", b"\x6f", b"")) + body + b"\x90\x00"


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _flip, _flip, _cut, _grow, _repeat, _status, _drop, _noise),
)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_honest_answers_walk_again(name: str) -> None:
    result = walk(Answering(honest(name)))
    assert result.oda.passed, result.oda


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SCHEMES), st.integers(0, 2**64))
def test_mutated_cards_end_in_an_outcome(name: str, seed: int) -> None:
    assert check_tap(mutate(honest(name), random.Random(seed))) < MOST_CPU_S


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=258), max_size=12))
def test_random_answers_end_in_an_outcome(answers: list[bytes]) -> None:
    assert check_tap(answers) < MOST_CPU_S


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_parse_or_fail_as_documented(raw: bytes) -> None:
    assert check_tlv(raw) < MOST_CPU_S


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>#0129AF \n:ter", max_size=80))
def test_random_texts_are_transcripts_or_refused(text: str) -> None:
    try:
        transcript = parse_transcript(text)
    except TranscriptError:
        return
    transcript.conditions(Transaction.purchase(1, at=NOW), TERMINAL) if "ter" not in text else None


def test_a_broken_tap_can_be_recorded_and_read_back() -> None:
    chance = random.Random(7)
    for _ in range(60):
        result = walk(Answering(mutate(honest("unionpay-debit"), chance)))
        text = record(result, transaction=Transaction.purchase(1280, at=NOW), terminal=TERMINAL)
        assert len(parse_transcript(text).exchanges) == len(result.exchanges)


def test_a_card_that_lists_endless_records_is_not_followed() -> None:
    afl = bytes.fromhex("0801FF00") * 60
    options = (
        b"\x77\x81"
        + bytes((len(afl) + 7,))
        + b"\x82\x02\x20\x00\x94\x81"
        + bytes((len(afl),))
        + afl
    )
    answers = [*honest("unionpay-debit")[:2], options + b"\x90\x00", *[b"\x70\x00\x90\x00"] * 20000]
    card = Answering(answers)
    assert walk(card).outcome is Outcome.TRY_ANOTHER_CARD
    assert len(list(card._answers)) > 19000


@pytest.mark.long
@pytest.mark.parametrize("name", SCHEMES)
def test_a_hundred_thousand_mutated_cards(
    name: str, record_property: pytest.RecordProperty
) -> None:
    chance = random.Random(20250601)
    answers = honest(name)
    slowest = max(check_tap(mutate(answers, chance)) for _ in range(LONG // len(SCHEMES)))
    record_property("slowest, ms of CPU", round(slowest * 1000, 2))
    print(f"{name}: {LONG // len(SCHEMES)} mutated cards, slowest {slowest * 1000:.2f} ms of CPU")
    assert slowest < MOST_CPU_S


@pytest.mark.long
def test_a_hundred_thousand_tlv_strings(record_property: pytest.RecordProperty) -> None:
    chance = random.Random(20250602)
    bodies = [answer[:-2] for name in SCHEMES for answer in honest(name)]
    slowest = 0.0
    for number in range(LONG):
        raw = chance.randbytes(chance.randint(0, 300))
        if number % 2:
            raw = mutate([chance.choice(bodies)], chance)[0]
        slowest = max(slowest, check_tlv(raw))
    record_property("slowest, ms of CPU", round(slowest * 1000, 2))
    print(f"{LONG} TLV strings, slowest {slowest * 1000:.2f} ms of CPU")
    assert slowest < MOST_CPU_S
