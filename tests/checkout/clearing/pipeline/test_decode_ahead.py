"""Messages that another process decodes: the same as decoded here, and never waited for."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from checkout.clearing.clock import SettableClock
from checkout.clearing.hsm.cryptogram import ChipProof, chip_proof
from checkout.clearing.hsm.decoded_proof import chip_proof_of
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.iso8583.codec import Fields, frame, pack, unpack
from checkout.clearing.iso8583.field_map import fields_of, question_of
from checkout.clearing.messages import (
    AuthorizationRequest,
    NetworkFunction,
    NetworkMessage,
    Reversal,
    TransactionType,
)
from checkout.clearing.pipeline.decode_ahead import DecodeAhead
from checkout.clearing.pipeline.decode_process import (
    DecodedMessage,
    decode_message,
    decode_reply,
    encode,
)
from checkout.clearing.scheme.participants import Scheme, demo_participants
from checkout.clearing.switch.discovery import find_switch
from checkout.clearing.switch.switch import Switch
from tests.checkout.clearing.network import CREDIT, DEBIT, NOON, SE_PHONE, Network, exactly, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

_SCHEMES = {p: one.scheme for p, one in demo_participants().ranges.items() if one.verifiable}
Ask = Callable[..., AuthorizationRequest]


@pytest.fixture
def asked(tmp_path: Path) -> Network:
    """Makes requests; no switch runs."""
    clock = SettableClock()
    clock.set_to(NOON)
    nobody: object = None
    return Network(tmp_path, "", clock, nobody, nobody)  # type: ignore[arg-type]


def passed_on(asked: Network, message: bytes) -> DecodedMessage | None:
    """Decoded as by the other process, and received as from it."""
    decoded = decode_message(message, NOON, _SCHEMES, KeyStore(asked.home))
    (received,) = decode_reply(encode([decoded]))
    return received


@pytest.mark.parametrize(
    ("account", "changed"),
    [
        (DEBIT, {}),
        (CREDIT, {"track2": f"{CREDIT}=30122010000000000000", "no_pin": True}),
        (SE_PHONE, {"amount": 99_999, "token_requestor": "00000000001"}),
        (DEBIT, {"transaction_type": TransactionType.PREAUTHORISATION, "condition": "06"}),
        (DEBIT, {"pin_block": bytes(range(8))}),
    ],
)
def test_a_tap_decoded_ahead_has_the_same_fields_and_proof_as_one_decoded_here(
    asked: Network, account: str, changed: dict[str, object]
) -> None:
    request = asked.tap(account, atc=7, **changed)  # type: ignore[arg-type]
    message = pack(fields_of(request))
    ahead = passed_on(asked, message)
    assert ahead is not None and ahead.proof is not None
    assert ahead.fields == unpack(message)
    assert list(ahead.fields) == list(unpack(message))
    assert ahead.question == question_of(unpack(message), NOON) == request
    here = chip_proof(request, Scheme.UNIONPAY, KeyStore(asked.home).card_key(account, "001"))
    there = chip_proof_of(ahead.proof, lambda: here)
    assert here.verdict.valid
    assert there == here
    for code in ("00", "51", "05"):
        authentication = there.verdict.issuer_authentication(code)
        assert authentication == here.verdict.issuer_authentication(code) != b""


def test_an_approval_needs_no_second_check_and_anything_else_does(asked: Network) -> None:
    ahead = passed_on(asked, pack(fields_of(asked.tap(atc=1))))
    assert ahead is not None and ahead.proof is not None
    checked: list[str] = []

    def again() -> ChipProof:
        checked.append("again")
        key = KeyStore(asked.home).card_key(DEBIT, "001")
        return chip_proof(ahead.question, Scheme.UNIONPAY, key)

    verdict = chip_proof_of(ahead.proof, again).verdict
    verdict.issuer_authentication("00")
    assert not checked
    verdict.issuer_authentication("61")
    assert checked == ["again"]


def test_a_wrong_cryptogram_is_wrong_ahead_too(asked: Network) -> None:
    request = replace(asked.tap(atc=1), amount_minor=5)
    ahead = passed_on(asked, pack(fields_of(request)))
    assert ahead is not None and ahead.proof is not None
    verdict = chip_proof_of(ahead.proof, pytest.fail).verdict
    assert (verdict.valid, verdict.reason) == (False, "amount-differs")
    assert verdict.issuer_authentication("00") == b""


def test_what_is_out_of_the_ordinary_is_left_to_the_switch(asked: Network) -> None:
    sale = asked.request()
    echo = NetworkMessage(
        function=NetworkFunction.ECHO, stan=1, transmitted_at=NOON, participant="90020001"
    )
    refund = asked.follow(sale, TransactionType.REFUND)
    tap = asked.tap(atc=1)
    others = [
        pack(fields_of(echo)),
        pack(fields_of(refund)),
        pack(fields_of(Reversal(request=refund))),
        pack(fields_of(replace(tap, icc=b"\x9f\x26\x01\x00"))),
        pack(fields_of(tap))[:-3],
        b"",
        b"GET / HTTP/1.1",
    ]
    assert [passed_on(asked, one) for one in others] == [None] * len(others)
    plain = passed_on(asked, pack(fields_of(sale)))
    assert plain is not None and plain.proof is None
    unknown = passed_on(asked, pack(fields_of(replace(tap, account="4000000000000002"))))
    assert unknown is not None and unknown.proof is None


# -- the process -----------------------------------------------------------------------------------


@pytest.fixture
def ahead(asked: Network) -> Iterator[DecodeAhead]:
    """With a process that is ready."""
    made = DecodeAhead(asked.home, demo_participants())
    assert not made.process.is_ready(start=False)
    assert made.process.pid is None
    until(lambda: made.process.is_ready(start=True))
    yield made
    made.close()


def taps(asked: Network, count: int) -> list[bytes]:
    return [pack(fields_of(asked.tap(atc=n))) for n in range(1, count + 1)]


def test_each_message_is_decoded_and_taken_once(asked: Network, ahead: DecodeAhead) -> None:
    messages = taps(asked, 10)
    assert ahead.process.pid is not None
    os.kill(ahead.process.pid, signal.SIGSTOP)
    ahead.request(messages, NOON, busy=True)
    ahead.request(messages, NOON, busy=True)
    assert len(ahead._under_way) == 10
    os.kill(ahead.process.pid, signal.SIGCONT)
    until(ahead.process.has_message)
    for message in messages:
        until(lambda: ahead._decoded[message] is not None or ahead._receive())  # noqa: B023
        taken = ahead.take(message, NOON)
        assert taken is not None and taken.question == question_of(unpack(message), NOON)
        assert ahead.take(message, NOON) is None
    assert ahead.take(pack(fields_of(asked.request())), NOON) is None


def test_a_message_decoded_yesterday_is_not_taken_today(asked: Network, ahead: DecodeAhead) -> None:
    messages = taps(asked, 4)
    ahead.request(messages, NOON, busy=True)
    until(ahead.process.has_message)
    assert len(ahead._decoded) == 4
    assert [ahead.take(one, NOON + timedelta(days=1)) for one in messages] == [None] * 4
    ahead.request([], NOON + timedelta(days=1), busy=True)
    assert [ahead.take(one, NOON + timedelta(days=1)) for one in messages] == [None] * 4


def test_a_process_that_does_not_reply_is_not_waited_for(
    asked: Network, ahead: DecodeAhead
) -> None:
    assert ahead.process.pid is not None
    os.kill(ahead.process.pid, signal.SIGSTOP)
    messages = taps(asked, 300)
    ahead.request(messages, NOON, busy=True)
    assert len(ahead._under_way) == 256  # and no more, however many wait
    began = time.monotonic()
    assert [ahead.take(one, NOON) for one in messages] == [None] * 300
    assert time.monotonic() - began < 5
    os.kill(ahead.process.pid, signal.SIGCONT)
    until(lambda: ahead._receive() or not ahead._under_way)  # type: ignore[func-returns-value]
    assert not ahead._decoded


def test_a_process_that_has_ended_is_replaced(asked: Network, ahead: DecodeAhead) -> None:
    assert ahead.process.pid is not None
    messages = taps(asked, 6)
    os.kill(ahead.process.pid, signal.SIGSTOP)
    ahead.request(messages, NOON, busy=True)
    os.kill(ahead.process.pid, signal.SIGKILL)
    until(ahead.process.has_message)
    assert [ahead.take(one, NOON) for one in messages] == [None] * 6
    assert ahead.process.pid is None
    until(lambda: ahead.process.is_ready(start=True))
    ahead.request(messages, NOON, busy=True)
    until(ahead.process.has_message)
    assert ahead.take(messages[0], NOON) is not None


# -- the switch ------------------------------------------------------------------------------------


def _ask_all(line: socket.socket, requests: list[AuthorizationRequest]) -> list[Fields]:
    line.sendall(b"".join(frame(pack(fields_of(one))) for one in requests))
    return [unpack(exactly(line, int.from_bytes(exactly(line, 2)))) for _ in requests]


def test_a_busy_switch_decides_decoded_messages_alike(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_ahead: list[bool] = []
    receive = Switch.receive

    def noted(self: Switch, *given: object) -> tuple[bytes, ...]:
        by_ahead.append(given[3] is not None)
        return receive(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Switch, "receive", noted)
    address = find_switch(network.home, network.url)
    assert address is not None
    with closing(socket.create_connection(address, timeout=30)) as line:
        sign_on = NetworkMessage(
            function=NetworkFunction.SIGN_ON,
            stan=1,
            transmitted_at=network.clock(),
            participant="90020001",
        )
        line.sendall(frame(pack(fields_of(sign_on))))
        exactly(line, int.from_bytes(exactly(line, 2)))
        deadline = time.monotonic() + 30
        while not any(by_ahead):  # until the other process is there
            assert time.monotonic() < deadline
            _ask_all(line, [network.request(amount=1) for _ in range(200)])
        before = network.available()
        good = [network.tap(amount=100, atc=n) for n in range(1, 121)]
        spoilt = [replace(network.tap(amount=100, atc=n), amount_minor=99) for n in (200, 201)]
        replayed = [replace(network.tap(amount=100, atc=n)) for n in (5, 6)]
        malformed = [replace(network.tap(atc=300), icc=b"\x9f\x26\x08")]
        too_much = [network.tap(amount=10**9, atc=400)]
        answers = _ask_all(line, [*good, *spoilt, *replayed, *malformed, *too_much])
    codes = [one["39"] for one in answers]
    assert codes == ["00"] * 120 + ["63"] * 4 + ["30", "61"]
    assert network.available() == before - 12_000
    for request, answer in zip([*good, *too_much], [*answers[:120], answers[-1]], strict=True):
        proof = chip_proof(request, Scheme.UNIONPAY, KeyStore(network.home).card_key(DEBIT, "001"))
        authentication = proof.verdict.issuer_authentication(answer["39"])
        assert answer["55"] == f"910A{authentication.hex().upper()}"
