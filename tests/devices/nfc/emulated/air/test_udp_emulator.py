"""The card on nfcpy's simulated air, as nfcpy itself and as strangers see it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import nfc
import nfc.clf
import nfc.tag
import pytest

from devices.nfc.emulated.air.udp import UdpEmulator
from tests.devices.nfc.nfc_cards import EchoCard


@pytest.fixture
def air() -> Iterator[UdpEmulator]:
    with UdpEmulator("localhost", 0) as emulator:
        yield emulator


@pytest.mark.parametrize("technology", ["A", "B"])
def test_nfcpy_alone_reads_the_card(air: UdpEmulator, technology: str) -> None:
    air.present(EchoCard(technology))  # type: ignore[arg-type]
    with nfc.ContactlessFrontend(air.path) as clf:
        target = clf.sense(nfc.clf.RemoteTarget(f"106{technology}"))
        tag = nfc.tag.activate(clf, target)
        assert bytes(tag.transceive(b"hello")) == b"hello\x90\x00"
        assert bytes(tag.transceive(bytes(1000))) == bytes(1000) + b"\x90\x00"


def test_a_reader_that_vanished_does_not_keep_the_card(air: UdpEmulator) -> None:
    air.present(EchoCard(uid="01020304"))
    for _ in range(2):
        reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        reader.settimeout(2)
        for frame in ("26", "9370" + "0102030404", "E080"):
            reader.sendto(f"106A {frame}".encode(), ("localhost", int(air.path.split(":")[2])))
            answer = reader.recv(100)
        assert answer == b"106A 0578807102"
        reader.close()  # without a word


@pytest.mark.parametrize(
    "datagram", [b"", b"RFOFF", b"106A", b"106A zz", b"106F 00", b"\xff\xfe", b"106A 26 26"]
)
def test_rubbish_is_not_answered_and_does_no_harm(air: UdpEmulator, datagram: bytes) -> None:
    air.present(EchoCard())
    address = ("localhost", int(air.path.split(":")[2]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.settimeout(2)
        reader.sendto(datagram, address)
        reader.sendto(b"106A 26", address)
        assert reader.recv(100) == b"106A 4400"


def test_only_the_named_address_is_bound(air: UdpEmulator) -> None:
    port = int(air.path.split(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", port))  # free, so the card is not on every interface


def test_a_taken_port_is_an_error() -> None:
    with UdpEmulator("localhost", 0) as first, pytest.raises(OSError, match="in use"):
        UdpEmulator("localhost", int(first.path.split(":")[2]))
