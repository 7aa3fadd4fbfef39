"""Messages spoilt in every way, over TCP: refused, or the connection closed; the switch goes on."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest

from checkout.clearing.iso8583.codec import MAX_MESSAGE, CodecError, frame, pack, unpack
from checkout.clearing.iso8583.field_map import fields_of, refusal_fields
from checkout.clearing.messages import NetworkFunction
from checkout.clearing.switch.samples import questions
from checkout.clearing.switch.server import SwitchServer
from tests.checkout.clearing.network import Network
from tests.checkout.clearing.switch.test_server import Stranger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_SOUND = [pack(fields_of(question)) for _, question in questions()]


def _flip(message: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 6)):
        message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)


def _cut(message: bytearray, chance: random.Random) -> None:
    del message[chance.randrange(len(message)) :]


def _lengthen(message: bytearray, chance: random.Random) -> None:
    message += chance.randbytes(chance.randint(1, 40))


def _overwrite(message: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(message))
    message[at : at + chance.randint(1, 9)] = chance.randbytes(chance.randint(0, 9))


def _other_bitmap(message: bytearray, chance: random.Random) -> None:
    message[4:12] = chance.randbytes(8)


def _other_type(message: bytearray, chance: random.Random) -> None:
    message[:4] = b"%04d" % chance.randrange(10_000)


def _spoil_digits(message: bytearray, chance: random.Random) -> None:
    digits = [at for at, byte in enumerate(message) if 48 <= byte <= 57]
    for at in chance.sample(digits, min(len(digits), chance.randint(1, 12))):
        message[at] = chance.choice(b"0123456789 A\xff\x00=")


def _splice(message: bytearray, chance: random.Random) -> None:
    other = chance.choice(_SOUND)
    message[chance.randrange(len(message)) :] = other[chance.randrange(len(other)) :]


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _cut, _lengthen, _overwrite),
    *(_other_bitmap, _other_type, _spoil_digits, _splice),
)


def _mutant(chance: random.Random) -> bytes:
    made = bytearray(chance.choice(_SOUND))
    chance.choice(_WAYS)(made, chance)
    return bytes(made[:MAX_MESSAGE])


def _seed() -> int:
    return int(os.environ.get("MUTANT_SEED", "1"))


def test_whatever_is_wrong_with_a_message_its_refusal_can_be_written() -> None:
    chance = random.Random(_seed())
    refused = 0
    for _ in range(20_000):
        mutant = _mutant(chance)
        try:
            unpack(mutant)
        except CodecError as error:
            refusal = refusal_fields(error.fields, error.response_code)
            if refusal is not None:
                refused += unpack(pack(refusal))["39"] in ("30", "12")
    assert refused > 2_000


def _signed_on(network: Network) -> Stranger:
    caller = Stranger(network)
    assert caller.manage(NetworkFunction.SIGN_ON)["39"] == "00"
    return caller


def _send_mutants(network: Network, count: int) -> Counter[str]:
    chance, said = random.Random(_seed()), Counter[str]()
    caller = _signed_on(network)
    for _ in range(count):
        mutant = _mutant(chance)
        if mutant[:4] in (b"0810", b"0830") or not mutant:
            continue  # these have no answer
        try:
            caller.socket.sendall(frame(mutant))
            said[caller.receive().get("39", "0800")] += 1
        except ConnectionError:
            said["closed"] += 1
            caller.socket.close()
            caller = _signed_on(network)
        if said["00"] and chance.random() < 0.05:  # a key may have been asked for: begin anew
            caller.socket.close()
            caller = _signed_on(network)
    caller.socket.close()
    return said


@pytest.mark.parametrize(
    "count",
    [2_000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
def test_mutants_neither_stop_the_switch_nor_unbalance_the_books(
    network: Network, count: int
) -> None:
    said = _send_mutants(network, count)
    assert said["closed"] and said["30"] and said["12"] and not said["96"], said
    assert network.code(network.request()) == "00"
    network.reader.trial_balance()
    for name in ("position/", "payer/"):
        for account in network.reader.accounts(name):
            assert account.balance.debits_pending < 2_000_00, account


def test_message_that_breaks_a_turn_is_answered_96_and_taken_once(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = _signed_on(network)
    with closing(caller.socket), monkeypatch.context() as patch:
        decide = SwitchServer._decide_all

        def breaks(server: SwitchServer, *given: object) -> tuple[bytes, ...]:
            patch.setattr(SwitchServer, "_decide_all", decide)
            raise ZeroDivisionError

        patch.setattr(SwitchServer, "_decide_all", breaks)
        broken, sound = fields_of(network.request()), fields_of(network.request())
        for asked, code in ((broken, "96"), (sound, "00")):
            answer = caller.ask(asked)
            assert (answer["11"], answer["39"]) == (asked["11"], code)
