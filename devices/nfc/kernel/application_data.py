"""Reading the card's data: GET PROCESSING OPTIONS and READ RECORD (EMV Book 3, 10.1 and 10.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import ApduError, get_processing_options, read_record
from devices.nfc.kernel.result import Outcome
from devices.nfc.kernel.session import Ended, SelectNext, Session
from devices.nfc.kernel.signature_recovery import SignedRecord

#: Cards have about ten records; a longer list would only keep the terminal busy.
_MAX_RECORDS: Final = 64

_MAG_STRIPE_ENTRY: Final = bytes.fromhex("08010100")
_M_CHIP_ENTRIES: Final = bytes.fromhex("10010101 18010200 20010200")
_M_CHIP_FOR_CDA: Final = bytes.fromhex("10010101 18010100 20010200")
_M_CHIP_FOR_SDA: Final = bytes.fromhex("10010101 18010200")


#: Status words of GET PROCESSING OPTIONS that end a tap (EMV Contactless Books C-3 and C-7).
_REFUSALS: Final = {
    0x6984: (Outcome.USE_ANOTHER_INTERFACE, "the card asks for its contact chip (SW 6984)"),
    0x6986: (Outcome.SEE_PHONE, "the payer must verify on the phone, then tap it again"),
}


def initiate_application(
    session: Session, *, refusals: Mapping[int, tuple[Outcome, str]] = _REFUSALS
) -> None:
    """Fill the PDOL, send GET PROCESSING OPTIONS and store its answer.

    Raises Ended for a status word in `refusals`, SelectNext for any other that is not 9000.
    """
    session.step = "get-processing-options"
    try:
        entries = ber_tlv.parse_dol(session.card.get(0x9F38, b""), "PDOL")
        session.pdol_values = ber_tlv.fill_dol(entries, session.dol_values())
        command = get_processing_options(session.pdol_values)
    except (ber_tlv.TlvError, ApduError) as error:
        raise SelectNext(f"the application's PDOL can't be filled: {error}") from None
    session.cryptogram_asked = True
    response = session.send(command, "GET PROCESSING OPTIONS")
    if response.sw in refusals:
        raise Ended(*refusals[response.sw])
    if not response.ok:
        raise SelectNext(f"GET PROCESSING OPTIONS answered {response.sw:04X}")
    _take_options(session, response.body)
    aip = session.card.get(0x82)
    if aip is None or len(aip) != 2:
        raise Ended(Outcome.TRY_ANOTHER_CARD, "the card sent no application interchange profile")


def _take_options(session: Session, body: bytes) -> None:
    if body[:1] == b"\x80":  # format 1: AIP and AFL end to end
        value = _single(body, 0x80, "GPO answer").value
        if len(value) < 2:
            raise Ended(Outcome.TRY_ANOTHER_CARD, "the GPO answer in format 1 is too short")
        session.card[0x82] = value[:2]
        if len(value) > 2:
            session.card[0x94] = value[2:]
        return
    session.store_objects(_single(body, 0x77, "GPO answer").children)


def read_records(session: Session) -> None:
    """Read every record that the AFL lists, and collect those that the issuer signed.

    Raises Ended where the AFL is broken, or a record is missing or not TLV.
    """
    _read(session, session.card.get(0x94, b""))


def read_chip_records(session: Session) -> None:
    """The same for a Mastercard card, without the records that only other modes need.

    A first AFL entry 08010100 is for mag-stripe mode and skipped in EMV mode (Book C-2). In the
    M/Chip layout that continues with 10010101 18010200 20010200, record 2 of SFI 3 has the static
    signature and SFI 4 the card's certificate; the terminal reads the one that it needs.
    """
    afl = session.card.get(0x94, b"")
    aip = session.card[0x82]
    if aip[1] & 0x80 and afl[:4] == _MAG_STRIPE_ENTRY:
        afl = afl[4:]
        if afl == _M_CHIP_ENTRIES:
            afl = _M_CHIP_FOR_CDA if aip[0] & 0x01 else _M_CHIP_FOR_SDA
    _read(session, afl)


def _read(session: Session, afl: bytes) -> None:
    for sfi, number, signed in _located(afl):
        session.step = f"read-record-{sfi}-{number}"
        response = session.send(read_record(sfi, number), f"READ RECORD {number} of SFI {sfi}")
        if not response.ok:
            raise Ended(
                Outcome.TRY_ANOTHER_CARD,
                f"record {number} of SFI {sfi} is missing (SW {response.sw:04X})",
            )
        if signed:
            session.signed_records.append(SignedRecord(sfi=sfi, body=response.body))
        if sfi <= 10:
            session.store_objects(_single(response.body, 0x70, "record").children)
        elif signed or response.body[:1] == b"\x70":
            session.store_objects(_parsed(response.body, "record"))


def _located(afl: bytes) -> Iterator[tuple[int, int, bool]]:
    """SFI, record number and whether the issuer signed it, for all records of an AFL."""
    if len(afl) % 4:
        raise Ended(Outcome.TRY_ANOTHER_CARD, "the AFL is not a multiple of 4 bytes")
    count = 0
    for at in range(0, len(afl), 4):
        sfi, first, last, signed = afl[at] >> 3, *afl[at + 1 : at + 4]
        sound = 1 <= sfi <= 30 and 1 <= first <= last and signed <= last - first + 1
        if not sound or afl[at] & 0x07:
            raise Ended(Outcome.TRY_ANOTHER_CARD, f"AFL entry {afl[at : at + 4].hex().upper()}")
        count += last - first + 1
        if count > _MAX_RECORDS:
            raise Ended(Outcome.TRY_ANOTHER_CARD, f"the AFL lists over {_MAX_RECORDS} records")
        for number in range(first, last + 1):
            yield sfi, number, number - first < signed


def _single(body: bytes, tag: int, field: str) -> ber_tlv.Node:
    nodes = _parsed(body, field)
    if len(nodes) != 1 or nodes[0].tag != tag:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"the {field} is not in template {tag:X}")
    return nodes[0]


def _parsed(body: bytes, field: str) -> tuple[ber_tlv.Node, ...]:
    try:
        return ber_tlv.parse(body, field)
    except ber_tlv.TlvError as error:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"broken TLV: {error}") from None
