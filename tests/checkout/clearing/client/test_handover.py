"""One switch follows another: no client loses a payment or is left unsure of one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from checkout.clearing.client.client import NotSent, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.clearing.clock import SettableClock
from checkout.clearing.iso8583.codec import frame, pack, unpack
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.messages import NetworkFunction, NetworkMessage
from checkout.clearing.queries import ClearingReader
from checkout.clearing.switch import discovery
from checkout.clearing.switch.discovery import find_switch, take_seat
from checkout.database import open_engine
from tests.checkout.clearing.network import DEBIT, NOON, PIN, Network

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class House:
    """One database, and commands that come and go on it."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home = home
        self.url = f"sqlite:///{home / 'checkout.db'}"
        self.clock = SettableClock()
        self.clock.set_to(NOON)
        self._stack = stack
        first = self.client()
        self.owner = first
        engine = open_engine(self.url)
        stack.callback(engine.dispose)
        self.network = Network(
            home=home,
            url=self.url,
            clock=self.clock,
            client=first,
            reader=ClearingReader(engine),
        )

    def client(self) -> SwitchClient:
        """What a command has: it joins the running switch, or is it."""
        made = open_client(self.home, self.url, clock=self.clock)
        self._stack.callback(made.close)
        return made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def buy(house: House, client: SwitchClient, *, pin: bool = False) -> str:
    request = house.network.request(
        amount=10, pin_block=client.encrypt_pin(PIN, DEBIT) if pin else None
    )
    return client.authorize(request).response.response_code


def test_payments_go_on_while_one_switch_hands_over_to_the_next(house: House) -> None:
    """Six switches end one after the other under a client that never stops buying."""
    buyer = house.client()
    stop = threading.Event()
    codes: list[str] = []

    def go_on() -> None:
        while not stop.is_set():
            codes.append(buy(house, buyer, pin=len(codes) % 2 == 0))

    failures: list[BaseException] = []
    threads = [threading.Thread(target=_kept(go_on, failures)) for _ in range(3)]
    for thread in threads:
        thread.start()
    leaving = house.owner
    for _ in range(6):
        coming = house.client()
        paid = len(codes)
        _until(lambda: len(codes) >= paid + 4, within_s=60)  # noqa: B023 - asked at once
        leaving.close()
        leaving = coming
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert len(codes) > 20
    assert set(codes) == {"00"}


def test_a_pin_block_is_still_read_by_the_switch_it_was_made_for(house: House) -> None:
    buyer = house.client()
    request = house.network.request(pin_block=buyer.encrypt_pin(PIN, DEBIT))
    ending = threading.Thread(target=house.owner.close)
    ending.start()
    _until(lambda: find_switch(house.home, house.url) is None)
    assert buyer.authorize(request).response.response_code == "00"
    ending.join(10)
    assert buy(house, buyer) == "00"  # by a switch of its own


def test_a_pin_block_whose_session_is_over_is_not_sent(house: House) -> None:
    buyer = house.client()
    request = house.network.request(pin_block=buyer.encrypt_pin(PIN, DEBIT))
    house.owner.close()
    _until(lambda: all(line.is_broken for line in buyer._blocks.values()))
    with pytest.raises(NotSent, match="enter it again"):
        buyer.authorize(request)


def test_a_client_waits_for_a_switch_that_is_still_ending(house: House) -> None:
    """The old one waits for a client that doesn't hang up; the new one can't begin before."""
    with socket.create_connection(_address(house), timeout=5) as silent:
        silent.sendall(frame(pack(_sign_on(house))))
        silent.recv(512)
        ending = threading.Thread(target=house.owner.close)
        ending.start()
        _until(lambda: find_switch(house.home, house.url) is None)
        with pytest.raises(discovery.SwitchRunning):
            take_seat(house.home, house.url)
        assert buy(house, house.client()) == "00"
        ending.join(10)


def test_the_switch_signs_off_before_it_ends(house: House) -> None:
    with socket.create_connection(_address(house), timeout=5) as foreign:
        foreign.sendall(frame(pack(_sign_on(house))))
        foreign.recv(512)
        ending = threading.Thread(target=house.owner.close)
        ending.start()
        sign_off = unpack(foreign.recv(512)[2:])
        assert (sign_off["t"], sign_off["70"], sign_off["33"]) == ("0820", "002", "90020001")
        # What was on its way all the same is answered.
        foreign.sendall(frame(pack(fields_of(house.network.request()))))
        assert unpack(foreign.recv(512)[2:])["39"] == "00"
    ending.join(10)
    assert not ending.is_alive()


def test_a_note_of_the_switch_before_is_not_believed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the note and looking at the lock, another switch may have taken it."""
    house.owner.close()
    old = take_seat(house.home, house.url)
    old.publish(("127.0.0.1", 1))
    is_locked = discovery._is_locked

    def slow(descriptor: int) -> bool:
        monkeypatch.setattr(discovery, "_is_locked", is_locked)
        old.leave()
        seats.append(take_seat(house.home, house.url))
        return is_locked(descriptor)

    seats: list[discovery.Seat] = []
    monkeypatch.setattr(discovery, "_is_locked", slow)
    assert find_switch(house.home, house.url) is None
    seats[0].leave()


def _address(house: House) -> discovery.Address:
    address = find_switch(house.home, house.url)
    assert address is not None
    return address


def _sign_on(house: House) -> dict[str, str]:
    message = NetworkMessage(
        function=NetworkFunction.SIGN_ON,
        stan=1,
        transmitted_at=house.clock(),
        participant="90020001",
    )
    return fields_of(message)


def _until(so: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _kept(action: Callable[[], None], failures: list[BaseException]) -> Callable[[], None]:
    def run() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    return run
