"""The entry point: PPSE, candidate list, final selection (EMV Contactless Book B, 3.3).

From the applications that pre-processing allows and the card's directory comes the candidate list,
in the card's order of preference. The best candidate is selected and passed to its kernel; where
that fails, the next one is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import PPSE, select
from devices.nfc.kernel.pre_processing import Candidate, Indicators
from devices.nfc.kernel.result import Outcome
from devices.nfc.kernel.session import Ended, SelectNext, Session
from devices.nfc.kernel.terminal import KERNEL_IDS

_LOWEST: Final = 16
#: A directory fits into one response, which has no room for more entries than this.
_MAX_ENTRIES: Final = 32

_CHARACTER_SETS: Final = {n: f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)}


def list_candidates(session: Session, allowed: Iterable[Indicators]) -> list[Candidate]:
    """SELECT PPSE and match its entries with the terminal's applications, best first.

    Raises Ended where the card has no directory that can be read.
    """
    session.step = "select-ppse"
    response = session.send(select(PPSE), "SELECT PPSE")
    if not response.ok:
        if session.terminal.list_of_aids and response.sw == 0x6A82:
            return list_known(allowed)
        raise Ended(
            Outcome.TRY_ANOTHER_CARD, f"the card has no payment directory (SW {response.sw:04X})"
        )
    try:
        entries = _directory(ber_tlv.parse(response.body, "PPSE"))
    except ber_tlv.TlvError as error:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"the card's directory is broken: {error}") from None
    offers = tuple(allowed)
    candidates = [
        candidate for entry in entries if (candidate := _match(entry, offers)) is not None
    ]
    candidates.sort(key=lambda candidate: candidate.priority)  # stable: card's order on a tie
    if not candidates:
        raise Ended(
            Outcome.TRY_ANOTHER_CARD, "card and terminal have no payment application in common"
        )
    return candidates


def list_known(allowed: Iterable[Indicators]) -> list[Candidate]:
    """Candidates for a card without a directory: the terminal's own AIDs (EMV Book 1, 12.3.3)."""
    return [
        Candidate(name=aid, terminal_aid=aid, indicators=indicators, priority=_LOWEST)
        for indicators in allowed
        for aid in indicators.application.aids
    ]


def direct_candidate(aid: bytes, allowed: Iterable[Indicators]) -> list[Candidate]:
    """The candidate for one AID without a directory; the first bytes of the AID give the scheme."""
    for indicators in allowed:
        for known in indicators.application.aids:
            if known.startswith(aid) or aid.startswith(known) or known[:5] == aid[:5]:
                return [
                    Candidate(name=aid, terminal_aid=known, indicators=indicators, priority=_LOWEST)
                ]
    raise Ended(Outcome.TRY_ANOTHER_CARD, f"the terminal does not take {aid.hex().upper()}")


def select_application(session: Session, candidate: Candidate) -> None:
    """Final selection: SELECT the application and store its FCI (Book B, 3.3.3).

    Raises SelectNext where the card refuses it or its FCI can't be read.
    """
    session.begin_candidate(candidate)
    session.step = "select-application"
    response = session.send(select(candidate.name), f"SELECT {candidate.name.hex().upper()}")
    if not response.ok:
        raise SelectNext(_REFUSALS.get(response.sw, f"SELECT answered {response.sw:04X}"))
    try:
        nodes = ber_tlv.parse(response.body, "FCI")
    except ber_tlv.TlvError as error:
        raise SelectNext(f"the application's FCI is broken: {error}") from None
    if len(nodes) != 1 or nodes[0].tag != 0x6F:
        raise SelectNext("the application's FCI is not in template 6F")
    proprietary = [node for node in nodes[0].children if node.tag == 0xA5]
    session.store_objects(node for node in nodes[0].children if node.tag != 0xA5)
    for template in proprietary:
        # the issuer fills BF0C and may repeat tags in it that have another meaning elsewhere
        session.store_objects(node for node in template.children if node.tag != 0xBF0C)
    session.card.setdefault(0x84, candidate.name)
    session.label = _label(session.card) or candidate.label


_REFUSALS: Final = {
    0x6283: "the application is blocked",
    0x6A81: "the card is blocked",
    0x6A82: "the card does not have the application it listed",
    0x6985: "the application is not ready",
}


def _directory(nodes: tuple[ber_tlv.Node, ...]) -> list[ber_tlv.Node]:
    entries = [node for node in ber_tlv.walk(nodes) if node.tag == 0x61]
    return entries[:_MAX_ENTRIES]


def _match(entry: ber_tlv.Node, offers: tuple[Indicators, ...]) -> Candidate | None:
    """The entry as a candidate by the longest terminal AID that fits it, or None."""
    name = ber_tlv.find(entry.children, 0x4F)
    if name is None or not 5 <= len(name) <= 16:
        return None
    asked = _kernel_asked(ber_tlv.find(entry.children, 0x9F2A))
    best: tuple[int, bytes, Indicators] | None = None
    for indicators in offers:
        application = indicators.application
        if asked not in (0, KERNEL_IDS[application.kernel]):
            continue
        for aid in application.aids:
            fits = name == aid or (application.partial_match and name.startswith(aid))
            if fits and (best is None or len(aid) > best[0]):
                best = (len(aid), aid, indicators)
    if best is None:
        return None
    label = ber_tlv.find(entry.children, 0x50)
    return Candidate(
        name=name,
        terminal_aid=best[1],
        indicators=best[2],
        priority=_priority(ber_tlv.find(entry.children, 0x87)),
        extended=ber_tlv.find(entry.children, 0x9F29) or b"",
        label=_printable(label, "ascii") if label else None,
    )


def _kernel_asked(identifier: bytes | None) -> int:
    """The kernel that the card asks for; 0 where its AID decides, -1 for a domestic kernel.

    The upper two bits of the first byte are the kind of kernel; 10 and 11 are domestic kernels,
    and this terminal has none.
    """
    if not identifier:
        return 0
    return -1 if identifier[0] & 0x80 else identifier[0]


def _priority(indicator: bytes | None) -> int:
    return (indicator[0] & 0x0F or _LOWEST) if indicator else _LOWEST


def _label(card: dict[int, bytes]) -> str | None:
    """Preferred name in its own character set, else the label (EMV Book 4, application labels)."""
    index = card.get(0x9F11, b"\0")
    preferred = card.get(0x9F12)
    if preferred and len(index) == 1 and index[0] in _CHARACTER_SETS:
        return _printable(preferred, _CHARACTER_SETS[index[0]])
    label = card.get(0x50)
    return _printable(label, "ascii") if label else None


def _printable(text: bytes, encoding: str) -> str | None:
    decoded = text[:16].decode(encoding, "replace").strip()
    return "".join(char if char.isprintable() else "?" for char in decoded) or None
