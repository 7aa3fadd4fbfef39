"""A message as people read it: field by field, card numbers masked, secrets left out."""

from __future__ import annotations

import re
from typing import Any

from checkout.clearing.iso8583.codec import CodecError, Fields, unpack
from checkout.clearing.iso8583.fields import BY_NUMBER, Form
from checkout.money import mask_account

#: Fields whose content is never shown: PIN block, keys, MACs.
_SECRET = {"52", "64", "96", "128"}
_ICC_TAG_NAMES = {
    "9F26": "application cryptogram",
    "9F27": "cryptogram information",
    "9F10": "issuer application data",
    "9F37": "unpredictable number",
    "9F36": "application transaction counter",
    "95": "terminal verification results",
    "9A": "transaction date",
    "9C": "transaction type",
    "9F02": "amount, authorised",
    "5F2A": "transaction currency",
    "82": "application interchange profile",
    "9F1A": "terminal country",
    "9F03": "amount, other",
    "9F33": "terminal capabilities",
    "9F34": "cardholder verification results",
    "9F35": "terminal type",
    "9F1E": "interface device serial number",
    "84": "dedicated file name",
    "9F09": "application version",
    "9F41": "transaction sequence counter",
    "91": "issuer authentication",
    "71": "issuer script 1",
    "72": "issuer script 2",
    "8A": "authorisation response code",
    "9F63": "product identification",
    "9F74": "electronic cash issuer code",
}
#: Tags of DE55 whose values name neither a person nor a card; every other value is masked.
_HARMLESS_TAGS = frozenset(_ICC_TAG_NAMES) | {"5F24", "5F34", "9F06", "9F07", "9F6C", "9F6E"}


def describe(message: bytes) -> dict[str, Any]:
    """The message without its length, decoded: message type and every field by name.

    Card numbers are masked, PIN block, keys and MACs replaced by their length. Bytes that are no
    message give ``{"error": ...}``.
    """
    try:
        fields = unpack(message, masked=True)
    except CodecError as error:
        return {"error": str(error), "bytes": len(message)}
    return describe_fields(fields)


def describe_fields(fields: Fields) -> dict[str, Any]:
    """The same for a message that is already fields."""
    shown: dict[str, Any] = {"message_type": fields["t"]}
    for number in sorted((key for key in fields if key.isdigit() and key != "1"), key=int):
        spec = BY_NUMBER[number]
        shown[f"DE{number}"] = {"name": spec.name, "value": _shown(number, fields[number])}
    return shown


def _shown(number: str, value: str) -> Any:
    if number in _SECRET:
        return f"({len(value) // 2} bytes)"
    if number == "2":
        return mask_account(value)
    if number == "35":
        return _masked_track(value)
    if number == "48":
        return re.sub(r"^(NK\d{3}).*", r"\1(key block)", value)
    if number == "55":
        return _icc(bytes.fromhex(value))
    if BY_NUMBER[number].form is Form.TEXT:
        return value.rstrip()
    return value


def _masked_track(track: str) -> str:
    account, separator, rest = track.replace("D", "=").partition("=")
    return mask_account(account) + separator + "*" * len(rest)


def _icc(icc: bytes) -> dict[str, str] | str:
    """Tags of DE55 in order; only the number of bytes where they are no BER-TLV."""
    shown: dict[str, str] = {}
    at = 0
    try:
        while at < len(icc):
            width = 2 if icc[at] & 0x1F == 0x1F else 1
            tag = icc[at : at + width].hex().upper()
            length = icc[at + width]
            at += width + 1
            if length & 0x80:
                count = length & 0x7F
                length, at = int.from_bytes(icc[at : at + count]), at + count
            value = icc[at : at + length]
            at += length
            name = _ICC_TAG_NAMES.get(tag)
            label = f"{tag} {name}" if name else tag
            shown[label] = value.hex().upper() if tag in _HARMLESS_TAGS else "*" * (2 * len(value))
    except IndexError:
        return f"({len(icc)} bytes, not BER-TLV)"
    return shown
