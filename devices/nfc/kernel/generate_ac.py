"""Terminal action analysis and GENERATE AC (EMV Book 3, 10.7 and 6.5.5; Book C-2)."""

from __future__ import annotations

from typing import Final

from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import ApduError, generate_ac
from devices.nfc.kernel.oda import Method, authenticate_combined, failure
from devices.nfc.kernel.result import Cryptogram, Outcome
from devices.nfc.kernel.session import Ended, Session
from devices.nfc.kernel.signature_recovery import OdaFailed

_CONTROL: Final = {Cryptogram.AAC: 0x00, Cryptogram.TC: 0x40, Cryptogram.ARQC: 0x80}
_BY_CID: Final = {control: cryptogram for cryptogram, control in _CONTROL.items()}
_COMBINED: Final = 0x10
_ON_DEVICE: Final = 0x02  # AIP: the device can verify its holder
#: A card may answer with a lower type than the terminal asked for, never with a higher one.
_RANK: Final = {Cryptogram.AAC: 0, Cryptogram.ARQC: 1, Cryptogram.TC: 2}


def analyse(session: Session) -> Cryptogram:
    """The cryptogram to ask for: the TVR against the action codes of issuer and terminal."""
    session.step = "terminal-action-analysis"
    application, card, terminal = (
        session.indicators.application,
        session.card,
        session.terminal,
    )
    if _meets(session, card.get(0x9F0E, bytes(5)), application.tac_denial):
        return Cryptogram.AAC
    if card[0x82][0] & _ON_DEVICE and not session.combined:
        # Book C-2, GAC.20 to GAC.23: only CDA proves that the device claims to verify its holder
        return Cryptogram.AAC
    if terminal.online_only:
        return Cryptogram.ARQC
    all_set = b"\xff" * 5
    if terminal.online_capable:
        online = _meets(session, card.get(0x9F0F, all_set), application.tac_online)
        return Cryptogram.ARQC if online else Cryptogram.TC
    declined = _meets(session, card.get(0x9F0D, all_set), application.tac_default)
    return Cryptogram.AAC if declined else Cryptogram.TC


def _meets(session: Session, issuer: bytes, terminal: bytes) -> bool:
    return any(
        tvr & (ours | theirs)
        for tvr, ours, theirs in zip(session.tvr, terminal, issuer.ljust(5, b"\0"), strict=False)
    )


def generate(session: Session, wanted: Cryptogram) -> None:
    """Ask for the cryptogram, check the answer, and end the tap. Always raises Ended."""
    session.step = "generate-ac"
    session.terminal_values[0x95] = bytes(session.tvr)
    combined = session.combined and wanted is not Cryptogram.AAC
    try:
        entries = ber_tlv.parse_dol(session.card[0x8C], "CDOL1")
        session.cdol_values = ber_tlv.fill_dol(entries, session.dol_values())
        control = _CONTROL[wanted] | (_COMBINED if combined else 0)
        command = generate_ac(control, session.cdol_values)
        command.to_bytes()
    except (ber_tlv.TlvError, ApduError) as error:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"CDOL1 can't be filled: {error}") from None
    session.cryptogram_asked = True
    response = session.send(command, f"GENERATE AC for {wanted}")
    if not response.ok:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"GENERATE AC answered {response.sw:04X}")
    answer, signed = _take_answer(response.body)
    session.card.update(answer)
    session.cryptogram = _check_type(answer, wanted)
    if combined:
        _check_signature(session, answer, signed)
    _conclude(session)


def _take_answer(body: bytes) -> tuple[dict[int, bytes], bytes]:
    """The answer's objects, and for CDA the bytes of all of them except 9F4B."""
    try:
        nodes = ber_tlv.parse(body, "GENERATE AC answer")
    except ber_tlv.TlvError as error:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"broken TLV: {error}") from None
    if len(nodes) != 1 or nodes[0].tag not in (0x77, 0x80):
        raise Ended(Outcome.TRY_ANOTHER_CARD, "the GENERATE AC answer is in no known template")
    value = nodes[0].value
    if nodes[0].tag == 0x80:  # format 1: CID, ATC, cryptogram, issuer application data
        if len(value) < 11:
            raise Ended(Outcome.TRY_ANOTHER_CARD, "the GENERATE AC answer is too short")
        answer = {0x9F27: value[:1], 0x9F36: value[1:3], 0x9F26: value[3:11]}
        return (answer | {0x9F10: value[11:]} if len(value) > 11 else answer), b""
    answer = {}
    for node in nodes[0].children:
        if answer.setdefault(node.tag, node.value) != node.value:
            raise Ended(Outcome.TRY_ANOTHER_CARD, f"two values for tag {node.tag:X}")
    return answer, _without_signature(value)


def _without_signature(template: bytes) -> bytes:
    """The template's bytes without 9F4B, order and encoding unchanged (EMV Book 2, 6.6.1)."""
    out, at, end = b"", 0, len(template)
    while at < end:
        if template[at] == 0:
            at += 1
            continue
        tag, _, _, stop = ber_tlv.read_header(template, at, end, "GENERATE AC answer")
        if tag != 0x9F4B:
            out += template[at:stop]
        at = stop
    return out


def _check_type(answer: dict[int, bytes], wanted: Cryptogram) -> Cryptogram:
    cid = answer.get(0x9F27, b"")
    cryptogram = _BY_CID.get(cid[0] & 0xC0) if len(cid) == 1 else None
    if cryptogram is None or len(answer.get(0x9F36, b"")) != 2:
        raise Ended(Outcome.TRY_ANOTHER_CARD, "the card sent no cryptogram information or counter")
    if _RANK[cryptogram] > _RANK[wanted]:
        # where the terminal has declined, no answer of the card makes it anything but a decline
        declined = wanted is Cryptogram.AAC
        raise Ended(
            Outcome.OFFLINE_DECLINED if declined else Outcome.TRY_ANOTHER_CARD,
            f"the card answered {cryptogram} where {wanted} was asked",
        )
    if 0x9F4B not in answer and len(answer.get(0x9F26, b"")) != 8:
        raise Ended(Outcome.TRY_ANOTHER_CARD, "the card sent no application cryptogram")
    return cryptogram


def _check_signature(session: Session, answer: dict[int, bytes], signed: bytes) -> None:
    """CDA: check the card's signature over all values sent both ways (EMV Book 2, 6.6.2)."""
    if session.cryptogram is Cryptogram.AAC and 0x9F4B not in answer:
        session.oda = failure(Method.CDA, OdaFailed("declined-unsigned"))
        return
    if session.icc_key is None:  # a masked recording
        return
    result = authenticate_combined(
        answer,
        key=session.icc_key,
        unpredictable_number=session.terminal_values[0x9F37],
        transaction_values=session.pdol_values + session.cdol_values + signed,
    )
    session.record_oda(result)
    session.card.update(result.recovered)


def _conclude(session: Session) -> None:
    declined = session.cryptogram is Cryptogram.AAC
    if session.combined and not declined and not session.oda.passed and session.masked is None:
        raise Ended(Outcome.OFFLINE_DECLINED, f"offline data authentication: {session.oda.reason}")
    if _wants_phone(session.card.get(0xDF4B, b"")):  # whatever the cryptogram: C-2, S910.71
        raise Ended(Outcome.SEE_PHONE, "the payer must look at the phone, then tap it again")
    if declined:
        raise Ended(Outcome.OFFLINE_DECLINED, "the card declined")
    if session.cryptogram is Cryptogram.TC:
        raise Ended(Outcome.OFFLINE_APPROVED, "card and terminal approved offline")
    if not session.terminal.online_capable:
        raise Ended(Outcome.OFFLINE_DECLINED, "the card wants to go online, the terminal can't")
    raise Ended(Outcome.ONLINE_REQUEST, "the issuer is to decide")


def _wants_phone(interaction: bytes) -> bool:
    """Whether POS cardholder interaction information asks for the payer's phone (Book C-2)."""
    return len(interaction) == 3 and bool(int.from_bytes(interaction, "big") & 0x00030F)
