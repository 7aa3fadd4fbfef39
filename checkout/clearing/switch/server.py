"""The switch as a process: one thread, one loop, many connections.

Each turn takes what has arrived from every connection, decides all of it, writes it in one durable
commit and only then answers. A large turn is written beside, by another process, while the next one
is decided; its answers wait for that. Nothing is handed between threads.
"""

from __future__ import annotations

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
from checkout.clearing.store.engine import Engine
from checkout.clearing.store.opening import open_clearing_engine
from checkout.clearing.store.store import Store
from checkout.clearing.store.write_behind import WriteBehindEngine
from checkout.clearing.switch.connection import Connection
from checkout.clearing.switch.discovery import Address, Seat, take_seat
from checkout.clearing.switch.fault_injection import Faults
from checkout.clearing.switch.switch import Switch, UnanswerableMessage
from checkout.database import DatabaseFile, is_postgresql

Clock = Callable[[], datetime]
log = logging.getLogger("checkout.switch")

#: Messages decided in one turn, shared out to the connections that have some; the rest waits for
#: the next one, which is decided while this one is written.
TURN_MESSAGES = 32
#: A turn of so many messages shows that other processes are worth having beside this one.
BUSY_FROM = 16
DRAIN_S = 3.0
#: The first of a turn are decided before anything of them could have been read elsewhere.
_AT_ONCE = 2
_WORTH_ASKING = 2
_LOOK_S = 0.5
#: How long a client that was told to go may be silent before it is hung up on.
_FAREWELL_S = 1.0


class SwitchServer:
    """Listens, answers, and is the only one that does so for its database.

    `bind` is host and port, port 0 for any free one. Make one with `open`; `run` returns when
    `stop` is set and what had arrived has been answered.
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
        self._connections: set[Connection] = set()
        self._backlog: set[Connection] = set()  # with more messages than one turn takes
        self._waker, self._wake_end = socket.socketpair()
        self._served = 0
        self._held_back: list[HeldBack[Connection]] = []
        self._order = itertools.count()
        self._commit = TurnCommit(backend, self._selector, self._turn_ended)
        self._decode_ahead = DecodeAhead(backend.home, backend.participants)
        self._date = backend.business_date(clock())
        self._file = DatabaseFile(database_url)
        self._file.check()  # remembers it as it is now

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
        """Take the seat, open the books, listen and publish the address.

        Raises SwitchRunning, DatabaseError, KeyStoreError, RulesError (of `rules.toml` in `home`),
        or OSError where the port is taken.
        """
        seat = take_seat(home, database_url, wait_s=wait_s)
        listener: socket.socket | None = None
        try:
            listener = socket.create_server(bind, backlog=256)
            listener.setblocking(False)
            store = Store(_engine(database_url, seat))
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

        DatabaseError where the database's file is taken away: nothing could be kept any more.
        """
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_end, selectors.EVENT_READ)
        if ready is not None:
            ready(self.address)
        try:
            look_at = 0.0
            while not stop.is_set():
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + _LOOK_S
                    self._file.check()
                self._turn(0.2)
            self._drain()
        finally:
            self._close()

    def wake(self) -> None:
        """Make `run` look at `stop` at once; from any thread."""
        with_suppressed_error(lambda: self._waker.send(b"\0"))

    # -- one turn -------------------------------------------------------------------------------

    def _turn(self, timeout_s: float) -> None:
        arrived: list[Connection] = []
        for key, events in self._selector.select(self._patience(timeout_s)):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._wake_end:
                self._wake_end.recv(64)
            elif key.data is None:
                self._commit.writer_readable()
            else:
                connection: Connection = key.data
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
            self._release()

    def _patience(self, timeout_s: float) -> float:
        """How long to wait for something to arrive: not at all where something is there."""
        if self._backlog:
            return 0.0
        if self._held_back:
            return min(max(self._held_back[0][0] - time.monotonic(), 0.0), timeout_s)
        return timeout_s

    def _release(self) -> None:
        """Send the answers that a fault held back long enough."""
        now = time.monotonic()
        while self._held_back and self._held_back[0][0] <= now:
            _, _, connection, answer = heapq.heappop(self._held_back)
            self._backend.in_flight -= 1
            if connection in self._connections:
                connection.answer((answer,))
                self._tend(connection)

    def _accept(self) -> None:
        self._commit.watch_writer()
        while True:
            try:
                accepted, peer = self._listener.accept()
            except OSError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(accepted, f"{peer[0]}:{peer[1]}")
            self._connections.add(connection)
            self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _decide(self, arrived: list[Connection]) -> None:
        """Decide everything, see to it that it is written, answer once it is."""
        turn = Turn[Connection]()
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
        except Exception as error:  # whatever it is, the switch goes on without that turn
            self._commit.roll_back(turn, error)
        else:
            if durable:
                self._answer(turn, durable)
        self._cut_over(now)  # one of these may have closed the date
        for connection in arrived:
            self._tend(connection)

    def _request_decoding(
        self,
        turn: Turn[Connection],
        taken: list[tuple[Connection, bytes]],
        share: int,
        now: datetime,
    ) -> None:
        """Have what waits for the next turn read meanwhile, and of this one what was not yet."""
        soon = [message for _, message in taken[_AT_ONCE:]]
        for connection in turn.messages:
            soon += connection.following(share)
        if len(soon) >= _WORTH_ASKING:
            self._decode_ahead.request(soon, now, busy=len(taken) >= BUSY_FROM)

    def _decide_all(
        self, turn: Turn[Connection], taken: list[tuple[Connection, bytes]], now: datetime
    ) -> None:
        given_up: set[Connection] = set()
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
        """Tell everyone signed on when the business date has moved on."""
        on = self._backend.business_date(now)
        if on == self._date:
            return
        self._commit.finish()  # what was decided before is told before
        forward, self._date = on > self._date, on
        for connection in tuple(self._connections) if forward else ():
            connection.answer(self._switch.announce(connection.session, now))
            self._backlog.add(connection)  # sent with what this turn answers, or by the next one

    def _more_waits(self, turn: Turn[Connection]) -> bool:
        return any(one.waiting for one in turn.messages) or bool(self._selector.select(0))

    def _answer(self, turn: Turn[Connection], durable: bool) -> None:
        """Let the answers of a turn go where it is durable; 96 to all of it where nothing is."""
        for connection in turn.messages:
            connection.owed -= 1
        if durable:
            for connection, sealed in turn.answers:
                connection.answer(sealed)
                self._served += len(sealed)
            for held in turn.held_back:
                heapq.heappush(self._held_back, held)
        else:
            self._backend.in_flight -= len(turn.held_back)
            for connection, taken in turn.messages.items():
                refusals = connection.refusals(taken)
                connection.answer(refusals)
                self._served += len(refusals)

    def _turn_ended(self, turn: Turn[Connection], durable: bool) -> None:
        """What became of a turn that was under way, or rolled back."""
        self._answer(turn, durable)
        for connection in turn.messages:
            self._tend(connection)

    def _tend(self, connection: Connection) -> None:
        """Send what goes, watch for room where it doesn't, close what is over."""
        if connection not in self._connections:
            return
        connection.flush()
        if connection.over:
            if connection.reason:
                log.warning("%s: closed, %s", connection.session.peer, connection.reason)
            self._selector.unregister(connection.socket)
            self._connections.discard(connection)
            self._backlog.discard(connection)
            connection.close()
            return
        if connection.waiting:
            self._backlog.add(connection)
        wanted = selectors.EVENT_READ if connection.may_read else 0
        if connection.has_output:
            wanted |= selectors.EVENT_WRITE
        if wanted != connection.watched:
            connection.watched = wanted
            self._selector.modify(connection.socket, wanted or selectors.EVENT_WRITE, connection)

    # -- the end --------------------------------------------------------------------------------

    def _drain(self) -> None:
        """No new connections; sign off, answer what is still sent, then go.

        A client hangs up when it has read the 0820. Until then it may send, and is answered: what
        reached a switch that closed unread would be in doubt.
        """
        self._seat.withdraw()
        self._accept()
        self._selector.unregister(self._listener)
        self._listener.close()
        now = self.clock()
        for connection in tuple(self._connections):
            farewell = self._switch.sign_off(connection.session, now)
            if farewell is not None:
                connection.answer((farewell,))
                self._tend(connection)
        deadline = time.monotonic() + DRAIN_S
        quiet_since = time.monotonic()
        while time.monotonic() < deadline:
            served = self._served
            self._turn(0.02)
            if self._served != served or any(
                one.has_output or one.waiting or one.owed for one in self._connections
            ):
                quiet_since = time.monotonic()
            told = any(one.session.participant is not None for one in self._connections)
            if time.monotonic() - quiet_since >= (_FAREWELL_S if told else 0.04):
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


def _engine(database_url: str, seat: Seat) -> Engine:
    if is_postgresql(database_url):
        return open_clearing_engine(database_url)
    return WriteBehindEngine(database_url, held=(seat.descriptor,))


def tune_process() -> None:
    """For a process that is a switch and nothing else: look for garbage rarely.

    A payment makes hundreds of small values and no cycles; what was there at the start stays.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def with_suppressed_error(action: Callable[[], object]) -> None:
    """Run something whose failure means only that the other side has gone."""
    try:
        action()
    except OSError:
        return
