"""Rows written by a process beside the switch: nothing lost, nothing twice, whatever dies when."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from checkout.clearing.iso8583.codec import Fields, frame, pack, unpack
from checkout.clearing.iso8583.field_map import fields_of
from checkout.clearing.messages import AuthorizationRequest, NetworkFunction, NetworkMessage
from checkout.clearing.store import schema, worker_process
from checkout.clearing.store.engine import Statement
from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.worker_process import receive
from checkout.clearing.store.write_behind import WriteBehindEngine
from checkout.clearing.switch.discovery import SwitchRunning, find_switch, take_seat
from checkout.database import DatabaseError
from tests.checkout.clearing.network import Network, exactly, running_network, until
from tests.checkout.clearing.test_random_days import Business

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


# -- the engine ------------------------------------------------------------------------------------


def turn_of(message: int) -> list[Statement]:
    """A turn that logs one message and remembers its number."""
    row = (message, 0, 0, "", "0200", "", None, "", 0, "", "00", "", None, "", 0, "", "", b"", None)
    return [(schema.ADD_MESSAGE, [row]), (schema.PUT_NUMBER, [("last", message)])]


def stands(url: str, message: int) -> bool:
    """Whether another process would see this message."""
    with closing(SqliteEngine(url, copies=False)) as other:
        found = other.query("SELECT count(*) FROM clearing_messages WHERE seq = ?", (message,))
        return bool(found[0][0])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'checkout.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[WriteBehindEngine]:
    """With the tables, and a writer that is ready."""
    made = WriteBehindEngine(url)
    made.define(schema.TABLES)
    made.writer.is_ready(start=True)
    until(lambda: made.writer.is_ready(start=False))
    yield made
    made.close()


def writer_of(engine: WriteBehindEngine) -> int:
    assert engine.writer.pid is not None
    return engine.writer.pid


def test_no_process_is_started_before_it_is_worth_one(url: str) -> None:
    with closing(WriteBehindEngine(url)) as engine:
        assert not engine.writer.is_ready(start=False)
        assert engine.writer.pid is None
        engine.writer.is_ready(start=True)
        assert engine.writer.pid is not None


def test_what_was_handed_over_is_seen_by_the_next_read(engine: WriteBehindEngine) -> None:
    assert engine.hand_over(turn_of(1), 1)
    assert engine.query("SELECT seq FROM clearing_messages") == [(1,)]
    assert engine.hand_over(turn_of(2), 2)
    engine.write(turn_of(3))
    assert engine.query("SELECT amount FROM clearing_numbers") == [(3,)]
    assert engine.query("SELECT count(*) FROM clearing_messages") == [(3,)]


def test_a_turn_of_a_killed_writer_is_written_here(engine: WriteBehindEngine) -> None:
    os.kill(writer_of(engine), signal.SIGSTOP)  # it has not looked at the turn
    assert engine.hand_over(turn_of(1), 1)
    os.kill(writer_of(engine), signal.SIGKILL)
    engine.flush()
    assert engine.query("SELECT seq FROM clearing_messages") == [(1,)]
    assert engine.writer.pid is None


def test_a_turn_that_stands_is_not_written_again_when_only_its_answer_was_lost(
    engine: WriteBehindEngine, url: str
) -> None:
    assert engine.hand_over(turn_of(1), 1)
    assert receive(engine.writer.line) == b""
    os.kill(writer_of(engine), signal.SIGKILL)
    engine.flush()
    assert stands(url, 1)
    assert engine.query("SELECT count(*) FROM clearing_messages") == [(1,)]


def test_a_writer_that_is_stuck_is_ended_and_its_turn_written_here(
    engine: WriteBehindEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = struct.pack("ll", 0, 200_000)
    engine.writer.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    pid = writer_of(engine)
    os.kill(pid, signal.SIGSTOP)
    assert engine.hand_over(turn_of(1), 1)
    assert engine.query("SELECT seq FROM clearing_messages") == [(1,)]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_writer_that_went_away_unasked_is_replaced_and_three_are_enough(
    engine: WriteBehindEngine,
) -> None:
    for lost in range(3):
        os.kill(writer_of(engine), signal.SIGKILL)
        until(lambda: not alive(writer_of(engine)))
        assert not engine.hand_over(turn_of(lost), lost)
        assert not engine.writer.is_ready(start=True)
        if lost < 2:
            until(lambda: engine.writer.is_ready(start=False))
    assert engine.writer.pid is None
    assert not engine.writer.is_ready(start=True)
    assert engine.query("SELECT count(*) FROM clearing_messages") == [(0,)]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be heard of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_turn_that_cannot_be_written_stops_everything_until_it_is_given_up(
    engine: WriteBehindEngine,
) -> None:
    before = full_disk(writer_of(engine))
    assert engine.hand_over(turn_of(1), 1)
    for _ in range(2):
        with pytest.raises(DatabaseError, match=r"database: .*(full|I/O)"):
            engine.query("SELECT 1")
    with pytest.raises(DatabaseError):
        engine.write(turn_of(2))
    with pytest.raises(DatabaseError):
        engine.hand_over(turn_of(2), 2)
    engine.abandon()
    assert engine.query("SELECT count(*) FROM clearing_messages") == [(0,)]
    resource.prlimit(writer_of(engine), resource.RLIMIT_FSIZE, before)
    assert engine.hand_over(turn_of(1), 1)
    assert engine.query("SELECT seq FROM clearing_messages") == [(1,)]


def full_disk(pid: int) -> tuple[int, int]:
    """No file of this process may grow any more; gives the limits that it had."""
    had = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, had[1]))
    return had


def test_the_writer_outlives_a_signal_to_the_whole_group_and_ends_with_its_switch(
    url: str,
) -> None:
    engine = WriteBehindEngine(url)
    engine.define(schema.TABLES)
    engine.writer.is_ready(start=True)
    until(lambda: engine.writer.is_ready(start=False))
    pid = writer_of(engine)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert engine.hand_over(turn_of(1), 1)
    engine.close()
    assert not alive(pid)
    assert stands(url, 1)


def test_rows_of_every_kind_can_be_handed_over(tmp_path: Path) -> None:
    """Random business as in the model's test, its turns handed over, writers killed meanwhile."""
    business = BesideBusiness(tmp_path, seed=int(os.environ.get("CLEARING_SEED", 7)))
    business.run(1200, close_every=150)
    assert business.handed > 40
    assert business.killed


class BesideBusiness(Business):
    """The same business, with every turn that can be handed over written beside."""

    def start(self) -> None:
        """Start, or start again, with a writer that is ready."""
        self.handed, self.killed = getattr(self, "handed", 0), getattr(self, "killed", 0)
        self._chance = random.Random(8583)
        super().start()
        self._ready()

    def made_engine(self, url: str) -> SqliteEngine:
        """The engine that this is about."""
        return WriteBehindEngine(url)  # type: ignore[return-value]

    def _ready(self) -> None:
        engine = self.backend.store._write_behind
        assert engine is not None
        engine.writer._failures = 0
        engine.writer.is_ready(start=True)
        until(lambda: engine.writer.is_ready(start=True))

    def commit(self) -> None:
        """End a turn."""
        engine = self.backend.store._write_behind
        assert engine is not None
        if engine.writer.pid is None:
            self._ready()
        kill = self._chance.random() < 0.1
        if kill:
            os.kill(writer_of(engine), signal.SIGSTOP)
        if not self.backend.store.hand_over(busy=True):
            self.backend.store.commit()
        elif kill:
            self.killed += 1
        self.handed += not engine.is_flushed
        if kill:
            os.kill(writer_of(engine), signal.SIGKILL)

    def _lost_turn(self) -> None:
        """A turn that the writer can't write leaves nothing behind, nor does the one after it."""
        store, engine = self.backend.store, self.backend.store._write_behind
        assert engine is not None
        store.commit()
        self._ready()
        before = full_disk(writer_of(engine))
        self.buy_in_vain()
        assert store.hand_over(busy=True)
        try:
            self.buy_in_vain()
            store.commit()
        except DatabaseError:
            pass
        else:
            raise AssertionError("the turn before could not be written")
        self.backend.forget()
        resource.prlimit(writer_of(engine), resource.RLIMIT_FSIZE, before)


# -- the switch ------------------------------------------------------------------------------------


class Caller:
    """A bare connection that sends many messages at once."""

    def __init__(self, network: Network) -> None:
        address = find_switch(network.home, network.url)
        assert address is not None
        self.socket = socket.create_connection(address, timeout=30)
        sign_on = NetworkMessage(
            function=NetworkFunction.SIGN_ON,
            stan=1,
            transmitted_at=network.clock(),
            participant="90020001",
        )
        assert self.ask([fields_of(sign_on)])[0]["39"] == "00"

    def send(self, messages: list[Fields]) -> None:
        self.socket.sendall(b"".join(frame(pack(one)) for one in messages))

    def receive(self) -> Fields:
        return unpack(exactly(self.socket, int.from_bytes(exactly(self.socket, 2))))

    def ask(self, messages: list[Fields]) -> list[Fields]:
        self.send(messages)
        return [self.receive() for _ in messages]

    def codes(self, requests: list[AuthorizationRequest]) -> list[str]:
        answers = self.ask([fields_of(one) for one in requests])
        assert [int(one["11"]) for one in answers] == [one.stan for one in requests]
        return [one["39"] for one in answers]


@pytest.fixture
def caller(network: Network) -> Iterator[Caller]:
    """A connection to a switch that has got a writer beside it."""
    made = Caller(network)
    deadline = time.monotonic() + 30
    while not writers():
        assert time.monotonic() < deadline
        assert set(made.codes([network.request(amount=1) for _ in range(64)])) == {"00"}
    until(lambda: handed_over(network, made))
    yield made
    made.socket.close()


def writers() -> list[int]:
    """The writing processes of this test's switch."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if b"checkout.clearing.store.write_process" in command and parent == os.getpid():
            found.append(int(folder.name))
    return found


def handed_over(network: Network, caller: Caller) -> bool:
    """Whether the writer writes already: a stopped one would hold the answers back."""
    (pid,) = writers()
    os.kill(pid, signal.SIGSTOP)
    caller.send([fields_of(network.request(amount=1)) for _ in range(20)])
    caller.socket.settimeout(0.5)
    try:
        caller.socket.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        os.kill(pid, signal.SIGCONT)
        caller.socket.settimeout(30)
        for _ in range(20):
            assert caller.receive()["39"] == "00"


def test_answers_wait_until_their_rows_stand(network: Network, caller: Caller) -> None:
    (pid,) = writers()
    before = network.available()
    requests = [network.request(amount=10) for _ in range(64)]
    os.kill(pid, signal.SIGSTOP)
    caller.send([fields_of(one) for one in requests])
    caller.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        caller.socket.recv(1, socket.MSG_PEEK)
    assert network.available() == before
    os.kill(pid, signal.SIGCONT)
    caller.socket.settimeout(30)
    assert {caller.receive()["39"] for _ in requests} == {"00"}
    assert network.available() == before - 640


def test_the_same_message_in_the_next_turn_is_a_duplicate(network: Network, caller: Caller) -> None:
    before = network.available()
    requests = [network.request(amount=10) for _ in range(200)]
    assert caller.codes([*requests, *requests]) == ["00"] * 200 + ["94"] * 200
    assert network.available() == before - 2000


def test_a_client_that_says_no_more_still_hears_what_is_being_written(
    network: Network, caller: Caller
) -> None:
    (pid,) = writers()
    os.kill(pid, signal.SIGSTOP)
    caller.send([fields_of(network.request()) for _ in range(40)])
    caller.socket.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    assert {caller.receive()["39"] for _ in range(40)} == {"00"}
    assert caller.socket.recv(1) == b""


def test_a_client_that_hangs_up_meanwhile_harms_nobody(network: Network, caller: Caller) -> None:
    (pid,) = writers()
    before = network.available()
    other = Caller(network)
    os.kill(pid, signal.SIGSTOP)
    other.send([fields_of(network.request(amount=10)) for _ in range(40)])
    time.sleep(0.2)
    other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.socket.close()
    time.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    assert caller.codes([network.request(amount=10)]) == ["00"]
    assert network.available() == before - 410


def test_nobody_is_refused_when_the_writer_is_killed(network: Network, caller: Caller) -> None:
    before = network.available()
    (pid,) = writers()
    os.kill(pid, signal.SIGSTOP)
    requests = [network.request(amount=10) for _ in range(300)]
    caller.send([fields_of(one) for one in requests])
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    assert {caller.receive()["39"] for _ in requests} == {"00"}
    assert network.available() == before - 3000
    network.reader.trial_balance()


def test_a_writer_that_ends_unasked_leaves_the_switch_at_rest(
    network: Network, caller: Caller
) -> None:
    (pid,) = writers()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not writers())  # heard of, and waited for
    began = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - began < 0.4  # no loop that spins on a dead socket
    others = [Caller(network) for _ in range(4)]  # one of them gets its number
    for one in others:
        assert one.codes([network.request(amount=10)]) == ["00"]
        one.socket.close()
    until(lambda: set(caller.codes([network.request() for _ in range(40)])) and writers())


def test_turns_that_cannot_be_written_are_answered_96_and_the_books_hold(
    network: Network, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    before = network.available()
    (pid,) = writers()
    had = full_disk(pid)
    requests = [network.request(amount=10) for _ in range(300)]
    codes = caller.codes(requests)
    # A small last turn may find nothing under way, and is then written by the switch itself.
    refused = [one for one, code in zip(requests, codes, strict=True) if code == "96"]
    assert len(refused) >= 32
    assert codes.count("00") == 300 - len(refused)
    assert network.available() == before - 10 * codes.count("00")
    assert any("rolled back: database:" in one.message for one in caplog.records)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, had)
    assert caller.codes(refused) == ["00"] * len(refused)
    assert network.available() == before - 3000
    network.reader.trial_balance()


def test_a_fault_that_delays_answers_delays_none_that_is_not_written(tmp_path: Path) -> None:
    from checkout.clearing.switch.fault_injection import parse_faults

    rules = parse_faults("[[fault]]\ndelay_ms = 1\nmatch = { amount_minor = 77 }\n")
    with running_network(tmp_path, faults=rules) as network:
        made = Caller(network)
        until(lambda: set(made.codes([network.request(amount=1) for _ in range(64)])) and writers())
        until(lambda: handed_over(network, made))
        had, before = full_disk(writers()[0]), network.available()
        made.send([fields_of(network.request(amount=77)) for _ in range(40)])
        codes = [made.receive()["39"] for _ in range(40)]
        assert codes.count("96") >= 16
        assert network.available() == before - 77 * codes.count("00")
        made.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):  # and no approval after all
            made.receive()
        resource.prlimit(writers()[0], resource.RLIMIT_FSIZE, had)
        assert network.client.operate("idle") == {"in_flight": 0}
        made.socket.close()


_SWITCH = """
import sys, threading
from pathlib import Path
from checkout.clearing.switch.server import SwitchServer
home = Path(sys.argv[1])
SwitchServer.open(home, sys.argv[2]).run(threading.Event())
"""


def test_no_other_switch_begins_before_the_last_turn_of_a_killed_one_is_written(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from checkout.clearing.clock import SettableClock

    switch = subprocess.Popen([sys.executable, "-c", _SWITCH, str(tmp_path), url])
    try:
        until(lambda: find_switch(tmp_path, url) is not None)
        network = Network(
            home=tmp_path,
            url=url,
            clock=SettableClock(),
            client=None,  # type: ignore[arg-type]
            reader=None,  # type: ignore[arg-type]
        )
        monkeypatch.setattr(os, "getpid", lambda: switch.pid)  # whose writers are looked for
        caller = Caller(network)
        until(lambda: set(caller.codes([network.request() for _ in range(64)])) and writers())
        until(lambda: handed_over(network, caller))
        (pid,) = writers()
        os.kill(pid, signal.SIGSTOP)
        last = [network.request() for _ in range(40)]
        caller.send([fields_of(one) for one in last])
        time.sleep(0.5)
    finally:
        switch.kill()
        switch.wait()
    with pytest.raises(SwitchRunning):
        take_seat(tmp_path, url)
    os.kill(pid, signal.SIGCONT)
    seat = take_seat(tmp_path, url, wait_s=10)
    seat.leave()
    with closing(SqliteEngine(url, copies=False)) as books:
        rows = books.query("SELECT response_code FROM clearing_messages ORDER BY seq DESC LIMIT 40")
        assert rows == [("00",)] * 40
    assert worker_process.PATIENCE_S > 10
    caller.socket.close()
