"""Exchanges with a card decoded tag by tag, from bytes that are masked already.

ISO/IEC 7816-4 for commands and status words; EMV Book 3, Annex B for the data objects. Bytes
that can't be decoded are given as hex. A sensitive object that is not masked is left out: see
`masking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from devices.nfc.emv.apdu import PPSE, ApduError, Command, Response
from devices.nfc.emv.ber_tlv import Node, TlvError, parse, parse_dol, walk
from devices.nfc.emv.tags import Format, format_of, is_sensitive, name_of

_COMMANDS: Final = {
    0xA4: "SELECT",
    0xA8: "GET PROCESSING OPTIONS",
    0xAE: "GENERATE AC",
    0xB2: "READ RECORD",
    0xC0: "GET RESPONSE",
    0xCA: "GET DATA",
    0x2A: "COMPUTE CRYPTOGRAPHIC CHECKSUM",
    0x84: "GET CHALLENGE",
    0x88: "INTERNAL AUTHENTICATE",
    0x82: "EXTERNAL AUTHENTICATE",
}
_STATUS: Final = {
    0x9000: "done",
    0x6283: "selected file is blocked",
    0x6300: "authentication failed",
    0x6700: "wrong length",
    0x6984: "referenced data not usable",
    0x6985: "conditions of use not satisfied",
    0x6986: "command not allowed",
    0x6A81: "function not supported",
    0x6A82: "file or application not found",
    0x6A83: "record not found",
    0x6A86: "wrong P1 or P2",
    0x6A88: "referenced data not found",
    0x6D00: "instruction not supported",
    0x6E00: "class not supported",
}
_PDOL, _CDOL1, _CDOL2, _DDOL = 0x9F38, 0x8C, 0x8D, 0x9F49
_DOLS: Final = frozenset({_PDOL, _CDOL1, _CDOL2, _DDOL, 0x97, 0x9F4F})
_FORMAT_1: Final = 0x80
_DF_NAME: Final = 0x84
_GPO, _GENERATE_AC, _INTERNAL_AUTHENTICATE = 0xA8, 0xAE, 0x88


def decode(exchanges: Iterable[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """`command` and `response` of each exchange, as nested names and values.

    The exchanges must be in order: a card sends its lists (PDOL, CDOL1) before the terminal sends
    the values that they ask for.
    """
    lists: dict[int, bytes] = {}
    decoded = []
    for command, response in exchanges:
        decoded.append(
            {"command": _command(command, lists), "response": _response(command, response)}
        )
        for node in walk(_nodes(response[:-2])):
            if node.tag in _DOLS:
                lists[node.tag] = node.value
    return decoded


def _command(raw: bytes, lists: dict[int, bytes]) -> dict[str, Any]:
    try:
        command = Command.parse(raw)
    except ApduError:
        return {"bytes": raw.hex(" ").upper()}
    name = _COMMANDS.get(command.ins, f"instruction {command.ins:02X}")
    decoded: dict[str, Any] = {"instruction": name, "header": raw[:4].hex(" ").upper()}
    if command.ins == 0xA4:
        decoded["name"] = command.body.decode() if command.body == PPSE else _hex(command.body)
    elif command.ins == 0xB2:
        decoded["file and record"] = f"SFI {command.p2 >> 3}, record {command.p1}"
    elif command.body:
        decoded["values"] = _values(command, lists)
    return decoded


def _values(command: Command, lists: dict[int, bytes]) -> Any:
    """The body of a command that fills one of the card's lists, value by value."""
    body, asked = command.body, None
    if command.ins == _GPO and body[:1] == b"\x83":
        nodes = _nodes(body)
        body, asked = (nodes[0].value if nodes else b""), lists.get(_PDOL, b"")
    elif command.ins == _GENERATE_AC:
        asked = lists.get(_CDOL1)
    elif command.ins == _INTERNAL_AUTHENTICATE:
        asked = lists.get(_DDOL)
    if asked is None:
        return _hex(body)
    if not body:
        return "none: the card asks for none"
    try:
        entries = parse_dol(asked)
    except TlvError:
        return _hex(body)
    if sum(entry.length for entry in entries) != len(body):
        return _hex(body)
    decoded: dict[str, Any] = {}
    at = 0
    for entry in entries:
        value = body[at : at + entry.length]
        decoded[f"{entry.tag:X}"] = _named(entry.tag, _shown(entry.tag, value))
        at += entry.length
    return decoded


def _response(command: bytes, raw: bytes) -> dict[str, Any]:
    if not raw:
        return {"answer": "none"}
    try:
        response = Response.parse(raw)
    except ApduError:
        return {"bytes": _hex(raw)}
    decoded: dict[str, Any] = {"status": _status(response.sw)}
    if not response.body:
        return decoded
    nodes = _nodes(response.body)
    if not nodes:
        decoded["bytes"] = _hex(response.body)
    elif len(nodes) == 1 and nodes[0].tag == _FORMAT_1:
        decoded["80"] = _named(_FORMAT_1, _format_1(command, nodes[0].value))
    else:
        decoded |= _objects(nodes)
    return decoded


def _status(sw: int) -> str:
    words = _STATUS.get(sw)
    if words is None and sw >> 8 == 0x61:
        words = f"{sw & 0xFF} bytes more"
    if words is None and sw >> 8 == 0x6C:
        words = f"wrong Le, {sw & 0xFF} bytes are there"
    return f"{sw:04X} {words or ''}".rstrip()


def _format_1(command: bytes, value: bytes) -> dict[str, Any] | str:
    """Objects without tags, in the order of EMV Book 3, 6.5.5.4 and 6.5.8.4."""
    order: Sequence[tuple[int, int]] = ()
    if command[1:2] == bytes((_GPO,)) and len(value) > 2:
        order = ((0x82, 2), (0x94, len(value) - 2))
    elif command[1:2] == bytes((_GENERATE_AC,)) and len(value) >= 11:
        order = ((0x9F27, 1), (0x9F36, 2), (0x9F26, 8), (0x9F10, len(value) - 11))
    decoded: dict[str, Any] = {}
    at = 0
    for tag, length in order:
        if length:
            decoded[f"{tag:X}"] = _named(tag, _shown(tag, value[at : at + length]))
        at += length
    return decoded or _hex(value)


def _objects(nodes: Iterable[Node]) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for node in nodes:
        key = f"{node.tag:X}"
        number = 2
        while key in decoded:  # a directory holds several templates of one kind
            key, number = f"{node.tag:X} ({number})", number + 1
        inner = _objects(node.children) if node.children else _shown(node.tag, node.value)
        decoded[key] = _named(node.tag, inner)
    return decoded


def _named(tag: int, value: Any) -> dict[str, Any]:
    return {"name": name_of(tag), "value": value}


def _shown(tag: int, value: bytes) -> Any:
    if is_sensitive(tag):
        return _masked(tag, value)
    if tag in _DOLS:
        try:
            return [
                f"{entry.tag:X} {name_of(entry.tag)}, {entry.length} B"
                for entry in parse_dol(value)
            ]
        except TlvError:
            return _hex(value)
    form = format_of(tag)
    if form in (Format.ALPHA, Format.ALPHANUMERIC, Format.ALPHANUMERIC_SPECIAL):
        text = value.rstrip(b"\x00").decode("latin-1")
        return text if text and text.isprintable() else _hex(value)
    if form is Format.NUMERIC:
        return value.hex().upper()
    if tag == _DF_NAME and value.isascii() and value.decode("ascii").isprintable():
        return value.decode("ascii")  # the directory's name is text, an application's name is not
    return _hex(value)


def _masked(tag: int, value: bytes) -> str:
    """First six and last four digits of a number; nothing of any other value but its length."""
    if tag in (0x5A, 0x57, 0x9F6B):
        digits = value.hex().upper()
        number = digits.partition("D")[0].rstrip("F") if tag != 0x5A else digits.rstrip("F")
        if number.isdigit() and len(number) >= 13:
            return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
    return f"masked, {len(value)} B"


def _nodes(body: bytes) -> tuple[Node, ...]:
    try:
        return parse(body)
    except TlvError:
        return ()


def _hex(value: bytes) -> str:
    return value.hex(" ").upper()
