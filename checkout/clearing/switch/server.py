"""The switch as a process: one thread, one loop, many connections.

Each turn takes the messages that have arrived from every connection, decides all of them, writes
them in one durable commit, and only then sends the answers. Another process writes a large turn
while the switch decides the next one. Nothing is handed between threads.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.clock import SettableClock, wall_clock
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.issuing.world import World, own_world
from checkout.clearing.pipeline.decode_ahead import DecodeAhead
from checkout.clearing.pipeline.turn import HeldBack, Turn
from checkout.clearing.pipeline.turn_commit import TurnCommit
from checkout.clearing.store.opening import open_switch_engine
from checkout.clearing.store.store import Store
from checkout.clearing.switch.connection import ClientConnection
from checkout.clearing.switch.discovery import Address, Seat, take_seat
from checkout.clearing.switch.fault_injection import Faults
from checkout.clearing.switch.switch import Switch, UnanswerableMessage
from checkout.database import DatabaseFile

Clock = Callable[[], datetime]
ClientTurn = Turn[ClientConnection]
TakenMessage = tuple[ClientConnection, bytes]
log = logging.getLogger("checkout.switch")

#: Messages decided in one turn, in equal shares for the connections that have some. The rest waits
#: for the next turn, which is decided while this one is written.
TURN_MESSAGES = 32
#: A turn of so many messages makes it worth starting the processes that decode and write.
BUSY_FROM = 16
#: How long a stopping switch still answers, and how long its signed-on clients may be silent first.
DRAIN_S = 3.0
_SIGN_OFF_S = 1.0
#: A stopping switch without signed-on clients waits this long for what is still arriving.
_QUIET_S = 0.04
#: The first messages of a turn are decided before another process could have decoded them.
_DECODED_HERE = 2
#: Fewer messages than these are not worth a request to the decoding process.
_WORTH_DECODING_AHEAD = 2
#: How often to look whether the database's file is still there.
_FILE_CHECK_S = 0.5


class SwitchServer:
    """Listens and answers; there is one for each database.

    Make one with `open`. `run` returns when `stop` is set and what had arrived has been answered.
    """

    def __init__(
        self,
        switch: Switch,
        backend: Backend,
        listener: socket.socket,
        seat: Seat,
        clock: Clock,
        database_url: str,
    ) -> None:
        self._switch = switch
        self._backend = backend
        self._listener = listener
        self._seat = seat
        self.clock = clock
        self._selector = selectors.DefaultSelector()
        self._connections: set[ClientConnection] = set()
        self._backlog: set[ClientConnection] = (
            set()
        )  # connections with more messages than a turn takes
        self._waker, self._wake_end = socket.socketpair()
        self._answered = 0
        self._held_back: list[HeldBack[ClientConnection]] = []  # a heap: the first due comes first
        self._order = itertools.count()
        self._commit = TurnCommit(backend, self._selector, self._turn_ended)
        self._decode_ahead = DecodeAhead(backend.home, backend.participants)
        self._date = backend.business_date(clock())
        self._file = DatabaseFile(database_url)
        self._file.check()  # the first check remembers the file

    @classmethod
    def open(
        cls,
        home: Path,
        database_url: str,
        *,
        bind: Address = ("127.0.0.1", 0),
        wait_s: float = 0.0,
        clock: Clock = wall_clock,
        world: World | None = None,
        faults: Faults | None = None,
    ) -> SwitchServer:
        """Lock the database, open its books, listen and publish the address.

        `bind` is host and port, port 0 for any free one.

        Raises SwitchRunning, DatabaseError, KeyStoreError, RulesError (of `rules.toml` in `home`),
        or OSError where the port is taken.
        """
        seat = take_seat(home, database_url, wait_s=wait_s)
        listener: socket.socket | None = None
        try:
            listener = socket.create_server(bind, backlog=256)
            listener.setblocking(False)
            store = Store(open_switch_engine(database_url, held=(seat.descriptor,)))
            settable = clock if isinstance(clock, SettableClock) else SettableClock(clock)
            backend = Backend(store, KeyStore(home), world or own_world(home), clock=settable)
            backend.open_books(settable())
            server = cls(Switch(backend, faults), backend, listener, seat, settable, database_url)
            seat.publish(server.address)
        except BaseException:
            if listener is not None:
                listener.close()
            seat.leave()
            raise
        return server

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def run(self, stop: threading.Event, ready: Callable[[Address], None] | None = None) -> None:
        """Serve until `stop` is set, then answer what has arrived and close.

        Raises DatabaseError where the database's file is removed while it runs.
        """
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_end, selectors.EVENT_READ)
        if ready is not None:
            ready(self.address)
        try:
            check_at = 0.0
            while not stop.is_set():
                if time.monotonic() >= check_at:
                    check_at = time.monotonic() + _FILE_CHECK_S
                    self._file.check()
                self._run_turn(0.2)
            self._drain()
        finally:
            self._close()

    def wake(self) -> None:
        """Make `run` look at `stop` at once; from any thread."""
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    # -- one turn -------------------------------------------------------------------------------

    def _run_turn(self, timeout_s: float) -> None:
        arrived: list[ClientConnection] = []
        for key, events in self._selector.select(self._wait_s(timeout_s)):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._wake_end:
                self._wake_end.recv(64)
            elif key.data is None:
                self._commit.writer_readable()
            else:
                connection: ClientConnection = key.data
                if events & selectors.EVENT_WRITE:
                    connection.flush()
                if events & selectors.EVENT_READ:
                    connection.read()
                arrived.append(connection)
        arrived += self._backlog.difference(arrived)
        self._backlog.clear()
        if arrived:
            self._decide(arrived)
        else:
            self._cut_over(self.clock())
        if self._held_back:
            self._send_delayed()

    def _wait_s(self, timeout_s: float) -> float:
        """How long to wait for messages: not at all where some are here already."""
        if self._backlog:
            return 0.0
        if self._held_back:
            return min(max(self._held_back[0][0] - time.monotonic(), 0.0), timeout_s)
        return timeout_s

    def _send_delayed(self) -> None:
        """Send the answers that an injected fault has delayed, as they fall due."""
        now = time.monotonic()
        while self._held_back and self._held_back[0][0] <= now:
            _, _, connection, answer = heapq.heappop(self._held_back)
            self._backend.in_flight -= 1
            if connection in self._connections:
                connection.queue((answer,))
                self._update(connection)

    def _accept(self) -> None:
        self._commit.watch_writer()
        while True:
            try:
                accepted, peer = self._listener.accept()
            except OSError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = ClientConnection(accepted, f"{peer[0]}:{peer[1]}")
            self._connections.add(connection)
            self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _decide(self, arrived: list[ClientConnection]) -> None:
        """Decide what has arrived, have it written, and answer where it is durable already."""
        turn = ClientTurn()
        now = self.clock()
        self._cut_over(now)
        share = max(TURN_MESSAGES // len(arrived), 1)
        try:
            taken = [
                (connection, message)
                for connection in arrived
                for message in connection.messages(share, turn.messages_from(connection))
            ]
            self._request_decoding(turn, taken, share, now)
            self._decide_all(turn, taken, now)
            durable = self._commit.commit(
                turn, busy=len(taken) >= BUSY_FROM, is_idle=lambda: not self._more_waits(turn)
            )
        except Exception as error:  # whatever it is, the switch goes on without this turn
            self._commit.roll_back(turn, error)
        else:
            if durable:
                self._answer(turn, durable)
        self._cut_over(now)  # a message of this turn may have closed the date
        for connection in arrived:
            self._update(connection)

    def _request_decoding(
        self, turn: ClientTurn, taken: list[TakenMessage], share: int, now: datetime
    ) -> None:
        """Have the later messages of this turn, and those of the next one, decoded meanwhile."""
        soon = [message for _, message in taken[_DECODED_HERE:]]
        for connection in turn.messages:
            soon += connection.waiting_messages(share)
        if len(soon) >= _WORTH_DECODING_AHEAD:
            self._decode_ahead.request(soon, now, busy=len(taken) >= BUSY_FROM)

    def _decide_all(self, turn: ClientTurn, taken: list[TakenMessage], now: datetime) -> None:
        given_up: set[ClientConnection] = set()
        for connection, message in taken:
            if connection in given_up:
                continue
            decoded = self._decode_ahead.take(message, now)
            try:
                sealed = self._switch.receive(message, connection.session, now, decoded)
            except UnanswerableMessage as error:
                connection.give_up(str(error))
                given_up.add(connection)
                continue
            turn.answers.append((connection, sealed))
            for delay_ms, answer in self._switch.delayed:
                due = time.monotonic() + delay_ms / 1000
                turn.held_back.append((due, next(self._order), connection, answer))
                self._backend.in_flight += 1
            self._switch.delayed.clear()

    def _cut_over(self, now: datetime) -> None:
        """Announce the business date to every participant once it has moved on."""
        on = self._backend.business_date(now)
        if on == self._date:
            return
        self._commit.finish()  # earlier decisions are answered first
        forward, self._date = on > self._date, on
        for connection in tuple(self._connections) if forward else ():
            connection.queue(self._switch.announce(connection.session, now))
            self._backlog.add(connection)  # so that this turn or the next one sends it

    def _more_waits(self, turn: ClientTurn) -> bool:
        return any(client.has_message for client in turn.messages) or bool(self._selector.select(0))

    def _answer(self, turn: ClientTurn, durable: bool) -> None:
        """Queue a durable turn's answers, or 96 to each message of one that was rolled back."""
        for connection in turn.messages:
            connection.owed -= 1
        if durable:
            for connection, sealed in turn.answers:
                connection.queue(sealed)
                self._answered += len(sealed)
            for delayed in turn.held_back:
                heapq.heappush(self._held_back, delayed)
        else:
            self._backend.in_flight -= len(turn.held_back)
            for connection, taken in turn.messages.items():
                refusals = connection.refusals(taken)
                connection.queue(refusals)
                self._answered += len(refusals)

    def _turn_ended(self, turn: ClientTurn, durable: bool) -> None:
        """Answer a turn that was under way or was rolled back."""
        self._answer(turn, durable)
        for connection in turn.messages:
            self._update(connection)

    def _update(self, connection: ClientConnection) -> None:
        """Send what the socket takes, watch it for more, or close a connection that is finished."""
        if connection not in self._connections:
            return
        connection.flush()
        if connection.is_finished:
            if connection.reason:
                log.warning("%s: closed, %s", connection.session.peer, connection.reason)
            self._selector.unregister(connection.socket)
            self._connections.discard(connection)
            self._backlog.discard(connection)
            connection.close()
            return
        if connection.has_message:
            self._backlog.add(connection)
        events = selectors.EVENT_READ if connection.may_read else 0
        if connection.has_output:
            events |= selectors.EVENT_WRITE
        if events != connection.watched_events:
            connection.watched_events = events
            self._selector.modify(connection.socket, events or selectors.EVENT_WRITE, connection)

    # -- the end --------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Take no new connections, sign off, answer what still arrives, and end.

        A client hangs up when it has read the 0820. Until then its messages are answered: one that
        reached the switch but was never read would leave its sender in doubt.
        """
        self._seat.withdraw()
        self._accept()
        self._selector.unregister(self._listener)
        self._listener.close()
        now = self.clock()
        for connection in tuple(self._connections):
            sign_off = self._switch.sign_off(connection.session, now)
            if sign_off is not None:
                connection.queue((sign_off,))
                self._update(connection)
        deadline = time.monotonic() + DRAIN_S
        quiet_since = time.monotonic()
        while time.monotonic() < deadline:
            answered = self._answered
            self._run_turn(0.02)
            if self._answered != answered or any(
                client.has_output or client.has_message or client.owed
                for client in self._connections
            ):
                quiet_since = time.monotonic()
            signed_on = any(client.session.participant for client in self._connections)
            if time.monotonic() - quiet_since >= (_SIGN_OFF_S if signed_on else _QUIET_S):
                break
        self._commit.finish()

    def _close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._listener.close()
        self._waker.close()
        self._wake_end.close()
        self._selector.close()
        self._decode_ahead.close()
        self._backend.store.close()
        self._seat.leave()


def tune_process() -> None:
    """For a process that is a switch and nothing else: collect garbage rarely.

    A payment makes hundreds of small values and no cycles, and what exists at the start stays.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
