"""A whole clearing backend for the tests: a real switch on a real socket, and questions for it."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyemv import ac, kd

from checkout.clearing.client.client import Exchange, SwitchClient
from checkout.clearing.clock import SettableClock
from checkout.clearing.hsm.icc_data import write_icc
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.iso8583.field_map import SHAPES
from checkout.clearing.issuing.world import World
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    OriginalElements,
    TransactionType,
)
from checkout.clearing.queries import ClearingReader
from checkout.clearing.scheme.participants import demo_participants
from checkout.clearing.switch.discovery import find_switch
from checkout.clearing.switch.fault_injection import Faults
from checkout.clearing.switch.server import SwitchServer
from checkout.database import open_engine
from checkout.money import numeric_code

DEBIT = "9999011000000019"
CREDIT = "9999031000000017"
CLASS_II = "9999021000000018"
CLASS_III = "9999021000000026"
VISA = "9999041000000016"
WALLET = "9999801000000013"
QUICK = "9999801000000021"
SE_PHONE = "9999701000000023"
HCE_PHONE = "9999701000000015"
EXPIRED = "9999011000000027"
BLOCKED = "9999011000000035"
EMPTY = "9999011000000043"
PIN = "123456"
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
_T = TransactionType


@dataclass
class Network:
    """A running switch with a client and the tables' reader."""

    home: Path
    url: str
    clock: SettableClock
    client: SwitchClient
    reader: ClearingReader
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def request(
        self, account: str = DEBIT, amount: int = 1280, **changed: Any
    ) -> AuthorizationRequest:
        """A code payment, unless changed."""
        stan = next(self.numbers)
        given: dict[str, Any] = {
            "transaction_type": _T.PURCHASE,
            "account": account,
            "amount_minor": amount,
            "currency": "CNY",
            "stan": stan,
            "rrn": f"{stan:012d}",
            "transmitted_at": self.clock().replace(microsecond=0),
            "entry_mode": EntryMode.BARCODE,
            "initiation": Initiation.DYNAMIC_CODE,
            "acquirer": "90020001",
            "forwarder": "90020001",
            "terminal_id": "10000001",
            "merchant_id": "999156058120001",
            "merchant_name": "Lane Tea House",
            "mcc": "5812",
            "country": "156",
        }
        return AuthorizationRequest(**(given | changed))

    def tap(
        self, account: str = DEBIT, amount: int = 1280, *, atc: int, **changed: Any
    ) -> AuthorizationRequest:
        """A tap by a card whose cryptogram pyemv computes."""
        currency = changed.get("currency", "CNY")
        key = KeyStore(self.home).card_key(account, "001")
        return self.request(
            account,
            amount,
            entry_mode=EntryMode.CONTACTLESS_CHIP,
            initiation=Initiation.CARD,
            pan_sequence="001",
            expiry="3012",
            **({"icc": unionpay_icc(key, amount=amount, currency=currency, atc=atc)} | changed),
        )

    def code(self, request: AuthorizationRequest) -> str:
        """Only the response code."""
        return self.client.authorize(request).response.response_code

    def ask(self, request: AuthorizationRequest) -> Exchange:
        """Question and answer."""
        return self.client.authorize(request)

    def follow(
        self,
        original: AuthorizationRequest,
        kind: TransactionType,
        amount: int | None = None,
        **changed: Any,
    ) -> AuthorizationRequest:
        """Something that follows an earlier request."""
        named = OriginalElements(
            message_type=SHAPES[original.transaction_type][0],
            stan=original.stan,
            transmitted_at=original.transmitted_at,
            acquirer=original.acquirer,
            forwarder=original.forwarder,
        )
        stan = next(self.numbers)
        return replace(
            original,
            transaction_type=kind,
            amount_minor=original.amount_minor if amount is None else amount,
            stan=stan,
            rrn=f"{stan:012d}",
            transmitted_at=self.clock().replace(microsecond=0),
            pin_block=None,
            icc=None,
            original=named,
            **changed,
        )

    def available(self, account: str = DEBIT, currency: str = "CNY") -> int:
        """What the payer may spend, by the aggregated ledger."""
        name = f"payer/{account[:6]}{'*' * (len(account) - 10)}{account[-4:]}/{currency}"
        return next(
            (one.balance.available for one in self.reader.accounts("payer/") if one.name == name), 0
        )


def until(met: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def exactly(line: socket.socket, count: int) -> bytes:
    """So many bytes off a socket; ConnectionError where the switch hangs up before."""
    parts = b""
    while len(parts) < count:
        arrived = line.recv(count - len(parts))
        if not arrived:
            raise ConnectionError("the switch hung up")
        parts += arrived
    return parts


@contextmanager
def running_network(
    home: Path, *, url: str | None = None, faults: Faults | None = None, world: World | None = None
) -> Iterator[Network]:
    """Start a switch in a thread, sign a client on, and stop both afterwards."""
    url = url or f"sqlite:///{home / 'checkout.db'}"
    clock = SettableClock()
    clock.set_to(NOON)
    server = SwitchServer.open(home, url, clock=clock, faults=faults, world=world)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    keys = KeyStore(home)
    client = SwitchClient(
        lambda: find_switch(home, url),
        demo_participants().by_id["market-acquirer"],
        lambda: keys.zone_key("market-acquirer"),
        clock=clock,
    )
    engine = open_engine(url)
    try:
        yield Network(home=home, url=url, clock=clock, client=client, reader=ClearingReader(engine))
    finally:
        client.close()
        stop.set()
        server.wake()
        thread.join(10)
        engine.dispose()
        assert not thread.is_alive()


@contextmanager
def signed_on(network: Network, participant: str) -> Iterator[SwitchClient]:
    """Another participant's client of a running network."""
    client = SwitchClient(
        lambda: find_switch(network.home, network.url),
        demo_participants().by_id[participant],
        lambda: KeyStore(network.home).zone_key(participant),
        clock=network.clock,
    )
    try:
        yield client
    finally:
        client.close()


def unionpay_icc(
    key: bytes,
    *,
    amount: int,
    atc: int,
    currency: str = "CNY",
    tvr: str = "0000000000",
    cvm: str = "1F0302",
) -> bytes:
    """DE55 of a UnionPay-style card, by pyemv, which shares nothing with the issuer."""
    held = {
        0x9F02: bytes.fromhex(f"{amount:012d}"),
        0x9F03: bytes(6),
        0x9F1A: b"\x01\x56",
        0x95: bytes.fromhex(tvr),
        0x5F2A: bytes.fromhex("0" + numeric_code(currency)),
        0x9A: bytes.fromhex("260302"),
        0x9C: b"\x00",
        0x9F37: atc.to_bytes(4),
        0x82: b"\x7c\x00",
        0x9F36: atc.to_bytes(2),
    }
    iad = bytes.fromhex("07010103A00000")
    session = kd.derive_common_sk(key, held[0x9F36] + bytes(6))
    signed = b"".join(held.values()) + iad[3:7]
    return write_icc(
        {
            0x9F26: ac.generate_ac(session, signed),
            0x9F27: b"\x80",
            0x9F10: iad,
            0x9F34: bytes.fromhex(cvm),
        }
        | held
    )
