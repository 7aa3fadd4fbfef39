"""The rest of the readers that nfcpy drives over USB: what is particular to each."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.nfc.contract import CardGone, ReaderGone, SeveralCards
from devices.nfc.emulated.pn532.chip import Pn532Chip
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.reader.nfcpy.pn53x import without_cascade_tags
from tests.conformance.conformance_cards import PPSE, CardSpec, SuiteCard, echo
from tests.conformance.conformance_rigs import install
from tests.conformance.fake_usb import (
    FakeAcr122,
    FakeBus,
    FakePn53x,
    FakePn531,
    FakePn533,
    FakeRcs956,
)

ALL = [FakePn531, FakePn533, FakeRcs956]
_NFC = Path(__file__).parents[2] / "devices"


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakePn53x:
    made: FakePn53x = request.param()
    install(FakeBus(made), monkeypatch)
    return made


@pytest.mark.parametrize("device", ALL, indirect=True)
@pytest.mark.parametrize("uid", ["01020304", "04112233445566"])
def test_a_card_is_read_and_its_uid_is_whole(device: FakePn53x, uid: str) -> None:
    device.field.present(SuiteCard(CardSpec(uid=uid)))
    reader = open_reader("usb")
    card = reader.wait_for_card(1.0)
    assert card is not None
    assert card.description.uid.hex() == uid
    assert card.transceive(PPSE)[0] == 0x6F
    command = echo(bytes(range(250)) * 2)
    assert card.transceive(command) == command + b"\x90\x00"
    device.field.remove()
    with pytest.raises(CardGone):
        card.transceive(PPSE)
    device.unplug()
    with pytest.raises(ReaderGone):
        reader.wait_for_card(0)
    reader.close()


@pytest.mark.parametrize("device", ALL, indirect=True)
def test_type_b_is_read_where_the_chip_knows_it(device: FakePn53x) -> None:
    device.field.present(SuiteCard(CardSpec(technology="B", uid="11223344")))
    reader = open_reader("usb")
    card = reader.wait_for_card(0)
    if isinstance(device, FakePn531):
        assert card is None
    else:
        assert card is not None
        assert card.transceive(PPSE)[0] == 0x6F
    reader.close()


@pytest.mark.parametrize("device", [FakePn531], indirect=True)
def test_a_pn531_tells_two_cards_from_one(device: FakePn53x) -> None:
    device.field.present(SuiteCard(CardSpec(uid="01020304")), SuiteCard(CardSpec(uid="05060708")))
    reader = open_reader("usb")
    with pytest.raises(SeveralCards):
        reader.wait_for_card(0)
    reader.close()


class HaltingChip(Pn532Chip):
    """A firmware that leaves a single card halted after looking for two."""

    def execute(self, code: int, payload: bytes) -> bytes:
        response = super().execute(code, payload)
        if code == 0x4A and payload[0] == 2 and response[0] == 1:
            self._field.exchange(b"\x50\x00", "A")
        return response


def test_a_chip_that_halts_a_single_card_is_asked_for_one_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = FakeAcr122()
    device.chip = HaltingChip(device.field, lambda _: None)
    install(FakeBus(device), monkeypatch)
    reader = open_reader("usb")
    for _ in range(3):
        device.field.present(SuiteCard(CardSpec()))
        card = reader.wait_for_card(1.0)
        assert card is not None
        assert card.transceive(PPSE)[0] == 0x6F
        device.field.remove()
        reader.release()
    lists = [frame[17:19] for frame in device.written if frame[15:17] == b"\xd4\x4a"]
    assert lists[0] == b"\x02\x00"
    assert lists[-1] == b"\x01\x00"
    reader.close()


def test_cascade_tags_are_no_part_of_a_uid() -> None:
    assert without_cascade_tags(bytes.fromhex("01020304")).hex() == "01020304"
    assert without_cascade_tags(bytes.fromhex("8804112233445566")).hex() == "04112233445566"
    triple = bytes.fromhex("880411228833445566778899")
    assert without_cascade_tags(triple).hex() == "04112233445566778899"


def test_one_file_imports_nfc() -> None:
    importers = [
        path.relative_to(_NFC).as_posix()
        for path in _NFC.rglob("*.py")
        if any(
            line.split()[:1] in (["import"], ["from"]) and line.split()[1].split(".")[0] == "nfc"
            for line in path.read_text().splitlines()
        )
    ]
    assert importers == ["nfc/reader/nfcpy/driver.py"]
