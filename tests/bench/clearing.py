"""Approved taps a second over TCP, compared with the floor and the parts, measured in one run.

    python tests/bench/clearing.py [--json] [--rounds N] [--taps N] [--long]

A switch in another process verifies each ARQC and commits durably to SQLite; this process sends
what it has prepared. Under this load the switch starts two more processes: one decodes messages in
advance, one writes rows. On two cores those and this process share the second core. After every
round, bare sqlite3 writes the rows that one tap makes, one commit each and 100 a commit. Then the
parts run alone: decoding and encoding through pyiso8583 (the peer) and by the switch's own codec.
Promises: at least 60 % of what 1/(decode + verify + rows at 64 a commit + encode) would give
with the peer's codec, never below one commit each, and at half that load a p99 of at most 40 times
the median of one commit each. The same ratio with our own codec is printed too. `--long` sends
a million taps and watches the memory of the switch and of its two other processes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.hsm.cryptogram import verify_arqc
from checkout.clearing.hsm.icc_data import read_icc, write_icc
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.iso8583.codec import frame, pack, pack_plainly, unpack, unpack_plainly
from checkout.clearing.iso8583.field_map import answer_fields, fields_of, question_of
from checkout.clearing.issuing.accounts import Account, DemoWorld
from checkout.clearing.issuing.world import World
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    NetworkFunction,
    NetworkMessage,
)
from checkout.clearing.scheme.participants import CardKind, Scheme
from checkout.clearing.store import schema
from checkout.clearing.store.engine import Row, Statement
from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.store import Store
from checkout.clearing.switch.discovery import find_switch
from checkout.clearing.switch.samples import TAP
from checkout.clearing.switch.server import SwitchServer, tune_process
from checkout.clearing.switch.session import Session
from checkout.clearing.switch.switch import Switch
from checkout.clearing.tokens.token_service import token_number
from checkout.comparison.quantile import quantile
from checkout.database import open_sqlite

CARDS = 2000
CONNECTIONS = 4
IN_FLIGHT = 64
ROWS_A_COMMIT = 64


def world() -> World:
    """A bank with many cards, each rich enough for the whole run."""
    accounts = {}
    for serial in range(CARDS):
        number = token_number(serial, prefix="999901")
        accounts[number] = Account(
            account=number,
            payer=f"card-{serial}",
            title="bench card",
            purpose="bench",
            kind=CardKind.DEBIT,
            currency="CNY",
            expiry="3012",
            pin="123456",
            balance_minor=10**12,
        )
    return World(accounts=DemoWorld(accounts=accounts, payment_tokens={}))


class Taps:
    """Prepared taps: every one of another STAN, its card's next counter, a right cryptogram."""

    def __init__(self, home: Path) -> None:
        self._keys = KeyStore(home)
        self._numbers = list(world().accounts.accounts)
        self._made = 0
        self._random = random.Random(8583)

    def request(self) -> AuthorizationRequest:
        """The next tap."""
        n = self._made
        self._made += 1
        number = self._numbers[n % CARDS]
        icc = self._icc(number, n // CARDS + 1)
        return replace(
            TAP,
            account=number,
            stan=n % 999_999 + 1,
            rrn=f"{n:012d}",
            transmitted_at=datetime.now(UTC).replace(microsecond=0),
            terminal_id=f"{n // 999_999:08d}",
            track2=number + TAP.track2[16:] if TAP.track2 else None,
            icc=icc,
        )

    def _icc(self, number: str, atc: int) -> bytes:
        """DE55 with a cryptogram made here, by three cipher calls and none of the issuer's code."""
        held = read_icc(TAP.icc or b"") | {
            0x9F36: atc.to_bytes(2),
            0x9F37: self._random.randbytes(4),
        }
        order = (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37, 0x82, 0x9F36)
        signed = b"".join(held[tag] for tag in order) + held[0x9F10][3:7]
        key = self._keys.card_key(number, "001")
        session = _ecb(key, held[0x9F36] + b"\xf0" + bytes(5) + held[0x9F36] + b"\x0f" + bytes(5))
        padded = signed + b"\x80" + bytes(-(len(signed) + 1) % 8)
        left = session[:8] * 3
        chain = Cipher(TripleDES(left), modes.CBC(bytes(8))).encryptor().update(padded[:-8])[-8:]
        last = bytes(a ^ b for a, b in zip(chain, padded[-8:], strict=True))
        return write_icc(held | {0x9F26: _ecb(session, last)})


def _ecb(key: bytes, blocks: bytes) -> bytes:
    return Cipher(TripleDES(key + key[:8]), modes.ECB()).encryptor().update(blocks)


# -- the switch in its own process -----------------------------------------------------------------


def serve(home: Path) -> None:
    """Run the switch until SIGTERM."""
    server = SwitchServer.open(home, _url(home), world=world())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: (stop.set(), server.wake()))
    tune_process()
    server.run(stop)


def start_switch(home: Path) -> subprocess.Popen[bytes]:
    """Start it and wait for its address."""
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(home)])
    deadline = time.monotonic() + 60
    while find_switch(home, _url(home)) is None:
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit("the switch did not start")
        time.sleep(0.05)
    return process


def _url(home: Path) -> str:
    return f"sqlite:///{home / 'checkout.db'}"


class Load:
    """Sends prepared messages over several connections and notes how long each answer took."""

    def __init__(self, home: Path) -> None:
        address = find_switch(home, _url(home))
        assert address is not None
        self._lines = []
        for _ in range(CONNECTIONS):
            line = socket.create_connection(address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            signed_on = NetworkMessage(
                function=NetworkFunction.SIGN_ON,
                stan=1,
                transmitted_at=datetime.now(UTC),
                participant="90020001",
            )
            line.sendall(frame(pack(fields_of(signed_on))))
            assert unpack(_message(line))["39"] == "00"
            line.setblocking(False)
            self._lines.append(line)

    def run(self, messages: list[bytes], *, rate: float | None = None) -> tuple[float, list[float]]:
        """Seconds for all, and each answer's delay; `rate` paces them, else a window of IN_FLIGHT.

        Delays of paced messages count from when they were due, so that waiting isn't hidden.
        """
        buffers = {line: bytearray() for line in self._lines}
        sent_at: dict[bytes, float] = {}
        delays: list[float] = []
        following, in_flight = 0, dict.fromkeys(self._lines, 0)
        began = time.perf_counter()
        while len(delays) < len(messages):
            now = time.perf_counter()
            following = self._send(messages, following, in_flight, sent_at, began, now, rate)
            patience = 0.05
            if rate is not None and following < len(messages):
                patience = max(0.0, began + following / rate - time.perf_counter())
            # select, unlike epoll, waits for parts of a millisecond: a paced sender needs that.
            for line in select.select(self._lines, (), (), patience)[0]:
                for stan in _answers(line, buffers[line]):
                    delays.append(time.perf_counter() - sent_at.pop(stan))
                    in_flight[line] -= 1
        return time.perf_counter() - began, delays

    def _send(
        self,
        messages: list[bytes],
        following: int,
        in_flight: dict[socket.socket, int],
        sent_at: dict[bytes, float],
        began: float,
        now: float,
        rate: float | None,
    ) -> int:
        batches: dict[socket.socket, list[bytes]] = {}
        while following < len(messages):
            line = self._lines[following % CONNECTIONS]
            if rate is None and in_flight[line] >= IN_FLIGHT:
                break
            due = now if rate is None else began + following / rate
            if due > now:
                break
            message = messages[following]
            sent_at[_stan(message)] = due
            in_flight[line] += 1
            batches.setdefault(line, []).append(message)
            following += 1
        for line, batch in batches.items():
            line.setblocking(True)
            line.sendall(b"".join(batch))
            line.setblocking(False)
        return following

    def close(self) -> None:
        """Hang up."""
        for line in self._lines:
            line.close()


_STAN_AT = 2 + 4 + 8 + 18 + 6 + 12 + 10  # length, type, bitmap, DE2, DE3, DE4, DE7


def _stan(message: bytes) -> bytes:
    return message[_STAN_AT : _STAN_AT + 6]


def _answers(line: socket.socket, buffer: bytearray) -> Iterator[bytes]:
    """STANs of the answers that have arrived; stops the run where one declines."""
    buffer += line.recv(1 << 17)
    at = 0
    while len(buffer) >= at + 2:
        end = at + 2 + int.from_bytes(buffer[at : at + 2])
        if len(buffer) < end:
            break
        answer = bytes(buffer[at:end])
        if not _approved(answer):
            raise SystemExit(f"a tap was declined: {unpack(answer[2:])}")
        yield _stan(answer)
        at = end
    del buffer[:at]


_CODE_AT: dict[int, int] = {}


def _approved(answer: bytes) -> bool:
    """All approvals of one length look alike: the place of DE39 is looked up once."""
    at = _CODE_AT.get(len(answer))
    if at is None:
        fields = unpack(answer[2:])
        if fields["39"] != "00":
            return False
        at = answer.index(fields["38"].encode() + b"00") + 6
        _CODE_AT[len(answer)] = at
    return answer[at : at + 2] == b"00"


def _message(line: socket.socket) -> bytes:
    head = line.recv(2, socket.MSG_WAITALL)
    return line.recv(int.from_bytes(head), socket.MSG_WAITALL)


# -- floors and parts ------------------------------------------------------------------------------


class Recording(SqliteEngine):
    """The engine, which records what is written instead of writing it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.recorded: list[Statement] | None = None

    def write(self, statements: Any) -> None:
        """Write, or record."""
        if self.recorded is None:
            super().write(statements)
        else:
            self.recorded += [(sql, list(rows)) for sql, rows in statements]


def rows_of_taps(home: Path, taps: Taps, count: int) -> list[list[Statement]]:
    """The rows that each of `count` taps makes, as the switch itself hands them to the engine."""
    engine = Recording(_url(home))
    backend = Backend(Store(engine), KeyStore(home), world())
    backend.open_books(datetime.now(UTC))
    switch, session = Switch(backend), Session(name="bench")
    session.participant = backend.participants.by_institution["90020001"]
    made = []
    for _ in range(count):
        engine.recorded = []
        switch.receive(pack(fields_of(taps.request())), session, datetime.now(UTC))
        backend.store.commit()
        made.append(engine.recorded)
    engine.close()
    return made


def write_rows(
    folder: Path, taps: list[list[Statement]], a_commit: int
) -> tuple[float, list[float]]:
    """Seconds a tap, and of each commit, for writing the rows by bare sqlite3."""
    path = folder / f"floor-{time.monotonic_ns()}.db"
    connection = open_sqlite(path)
    for table in schema.TABLES:
        connection.execute(table)
    commits = []
    began = time.perf_counter()
    for at in range(0, len(taps), a_commit):
        started = time.perf_counter()
        grouped: dict[str, list[Row]] = {}
        for statements in taps[at : at + a_commit]:
            for sql, rows in statements:
                grouped.setdefault(sql, []).extend(rows)
        connection.execute("BEGIN IMMEDIATE")
        for sql, rows in grouped.items():
            connection.executemany(sql, rows)
        connection.execute("COMMIT")
        commits.append(time.perf_counter() - started)
    took = time.perf_counter() - began
    connection.close()
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)
    return took / len(taps), commits


def _each(action: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    for n in range(count):
        action(n)
    return (time.perf_counter() - began) / count


def parts(home: Path, requests: list[AuthorizationRequest]) -> dict[str, float]:
    """Seconds a tap of decoding, verifying and encoding, each alone."""
    now = datetime.now(UTC)
    messages = [pack(fields_of(one)) for one in requests]
    decoded = [unpack(one) for one in messages]
    keys = KeyStore(home)
    count = len(requests)
    card_keys = [keys.card_key(one.account, one.pan_sequence) for one in requests]
    response = AuthorizationResponse(
        response_code="00",
        stan=1,
        rrn="0" * 12,
        approval_code="000001",
        settlement_date=now.date(),
        icc=b"\x91\x0a" + bytes(10),
    )

    def verify(n: int) -> None:
        verdict = verify_arqc(
            requests[n].icc or b"",
            scheme=Scheme.UNIONPAY,
            card_key=card_keys[n],
            amount_minor=requests[n].amount_minor,
            currency="156",
        )
        assert verdict.valid
        verdict.issuer_authentication("00")

    return {
        "peer_decode": _each(lambda n: question_of(unpack_plainly(messages[n]), now), count),
        "decode": _each(lambda n: question_of(unpack(messages[n]), now), count),
        "verify": _each(verify, count),
        "peer_encode": _each(lambda n: pack_plainly(answer_fields(decoded[n], response)), count),
        "encode": _each(lambda n: pack(answer_fields(decoded[n], response)), count),
    }


# -- the run ---------------------------------------------------------------------------------------


def measure(home: Path, rounds: int, taps_a_round: int) -> dict[str, Any]:
    """Interleaved rounds of everything; medians and their ratios."""
    with tempfile.TemporaryDirectory(dir=home) as aside:
        rows = rows_of_taps(_prepared(Path(aside)), Taps(Path(aside)), 640)
        process = start_switch(home)
        try:
            return _rounds(home, Path(aside), rows, rounds, taps_a_round)
        finally:
            process.terminate()
            process.wait(20)


def _prepared(home: Path) -> Path:
    KeyStore(home).master_key("999901")
    return home


def _rounds(
    home: Path, aside: Path, rows: list[list[Statement]], rounds: int, taps_a_round: int
) -> dict[str, Any]:
    taps, load = Taps(home), Load(home)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for _ in range(rounds):
        one_each, commits = write_rows(aside, rows[:200], 1)
        note("one_commit_each_s", one_each)
        note("one_commit_median_s", statistics.median(commits))
        note("rows_100_s", write_rows(aside, rows, 100)[0])
        note("rows_64_s", write_rows(aside, rows, ROWS_A_COMMIT)[0])
        requests = [taps.request() for _ in range(taps_a_round)]
        messages = [frame(pack(fields_of(one))) for one in requests]
        for name, value in parts(home, requests[:400]).items():
            note(f"{name}_s", value)
        full = messages[: taps_a_round * 3 // 4]
        took, _ = load.run(full)
        note("tap_s", took / len(full))
        half = 0.5 / (took / len(full))
        _, delays = load.run(messages[len(full) :], rate=half)
        note("p99_at_half_s", quantile(delays, 0.99))
        note("p50_at_half_s", statistics.median(delays))
    load.close()
    return report({name: statistics.median(values) for name, values in found.items()})


def report(medians: dict[str, float]) -> dict[str, Any]:
    """What was promised beside what was measured."""
    alone = sum(
        medians[f"{name}_s"] for name in ("peer_decode", "verify", "rows_64", "peer_encode")
    )
    own = sum(medians[f"{name}_s"] for name in ("decode", "verify", "rows_64", "encode"))
    shares = {
        name: round(medians[f"{name}_s"] / medians["tap_s"], 3)
        for name in ("decode", "verify", "rows_64", "encode")
    }
    return {
        "taps_per_s": round(1 / medians["tap_s"]),
        "floor_one_commit_per_s": round(1 / medians["one_commit_each_s"]),
        "floor_100_a_commit_per_s": round(1 / medians["rows_100_s"]),
        "parts_alone_per_s": round(1 / alone),
        "ratio_to_parts": round(alone / medians["tap_s"], 3),
        "ratio_to_own_parts": round(own / medians["tap_s"], 3),
        "ratio_to_one_commit": round(medians["one_commit_each_s"] / medians["tap_s"], 2),
        "p50_at_half_ms": round(medians["p50_at_half_s"] * 1000, 2),
        "p99_at_half_ms": round(medians["p99_at_half_s"] * 1000, 2),
        "p99_to_one_commit_median": round(
            medians["p99_at_half_s"] / medians["one_commit_median_s"], 1
        ),
        "us": {name[:-2]: round(value * 1e6, 1) for name, value in medians.items()},
        "codec_us_by_pyiso8583_and_by_ours": {
            name: [round(medians[f"{way}{name}_s"] * 1e6, 1) for way in ("peer_", "")]
            for name in ("decode", "encode")
        },
        "share_of_a_tap": shares | {"rest": round(1 - sum(shares.values()), 3)},
        "promises": {
            "ratio_to_parts >= 0.6": alone / medians["tap_s"] >= 0.6,
            "ratio_to_one_commit >= 1": medians["one_commit_each_s"] >= medians["tap_s"],
            "p99_to_one_commit_median <= 40": medians["p99_at_half_s"]
            <= 40 * medians["one_commit_median_s"],
        },
    }


def watch_memory(home: Path, payments: int) -> dict[str, Any]:
    """The switch's resident memory while it takes `payments` taps, a reading every tenth."""
    process = start_switch(home)
    taps, load = Taps(home), Load(home)
    readings, step = [], max(payments // 10, 1000)
    beside = []
    began = time.perf_counter()
    try:
        for _ in range(0, payments, step):
            for at in range(0, step, 10_000):
                some = min(10_000, step - at)
                load.run([frame(pack(fields_of(taps.request()))) for _ in range(some)])
            readings.append(_resident_mb(process.pid))
            beside.append(round(sum(map(_resident_mb, _children(process.pid))), 1))
    finally:
        load.close()
        process.terminate()
        process.wait(60)
    return {
        "payments": payments,
        "took_s": round(time.perf_counter() - began),
        "resident_mb": readings,
        "resident_mb_beside": beside,
        "growth_mb_after_the_first_tenth": round(
            readings[-1] + beside[-1] - readings[0] - beside[0], 1
        ),
        "database_mb": round((home / "checkout.db").stat().st_size / 1e6),
    }


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def main() -> int:
    """Run what was asked for and print it; 1 where a promise is broken."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--json", action="store_true")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--taps", type=int, default=4000, help="a round")
    options.add_argument("--long", action="store_true", help="watch memory over a million taps")
    options.add_argument("--payments", type=int, default=1_000_000, help="of --long")
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-clearing-") as folder:
        home = _prepared(Path(folder))
        if given.long:
            report = watch_memory(home, given.payments)
            holds = report["growth_mb_after_the_first_tenth"] < 30
        else:
            report = measure(home, given.rounds, given.taps)
            holds = all(report["promises"].values())
    sys.stdout.write(json.dumps(report, indent=None if given.json else 2) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sqlite3.enable_callback_tracebacks(False)
    sys.exit(main())
