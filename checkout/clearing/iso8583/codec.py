"""Messages as bytes and as fields: ISO 8583:1987, read and written by pyiso8583 at the edge.

On the wire two bytes of length, big-endian, precede every message. `Fields` is a message in
pyiso8583's own form: "t" is the message type, numbers are keys, binary fields are hex.
"""

from __future__ import annotations

from typing import Any

import iso8583

from checkout.clearing.iso8583 import compiled_codec
from checkout.clearing.iso8583.fields import (
    ANSWERS,
    BY_NUMBER,
    FORM_PATTERNS,
    Length,
    pyiso8583_spec,
)

Fields = dict[str, str]

LENGTH_BYTES = 2
MAX_MESSAGE = 4096
_SPEC: dict[str, dict[str, Any]] = pyiso8583_spec()
_KNOWN_BITS = frozenset(int(number) for number in BY_NUMBER) | {1}
_KNOWN_MASK = sum(1 << (128 - bit) for bit in _KNOWN_BITS)
_WELL_FORMED = {n: FORM_PATTERNS[spec.form].fullmatch for n, spec in BY_NUMBER.items()}
_VARIABLE = frozenset(n for n, spec in BY_NUMBER.items() if spec.length is not Length.FIXED)
_DIGITS = frozenset(b"0123456789")


class CodecError(ValueError):
    """Bytes or values that are no message; `field` and `position` name the place.

    `fields` are those that could be read, so that an answer can echo them; `response_code` is that
    of the answer: 30, or 12 for a request that nobody serves.
    """

    def __init__(
        self,
        field: str,
        message: str,
        position: int = 0,
        fields: Fields | None = None,
        response_code: str = "30",
    ) -> None:
        super().__init__(f"DE{field} at byte {position}: {message}")
        self.response_code = response_code
        self.field = field
        self.position = position
        self.fields: Fields = {} if fields is None else fields


def frame(message: bytes) -> bytes:
    """The message with its two-byte length in front; CodecError where it is too long."""
    if len(message) > MAX_MESSAGE:
        raise CodecError("t", f"expected at most {MAX_MESSAGE} bytes, got {len(message)}")
    return len(message).to_bytes(LENGTH_BYTES) + message


def unpack(message: bytes, *, masked: bool = False) -> Fields:
    """Read one message without its length; CodecError names the first field that is wrong.

    `masked` is for messages from the log, whose card numbers have asterisks in them.
    """
    return compiled_codec.read(message) or unpack_plainly(message, masked=masked)


def unpack_plainly(message: bytes, *, masked: bool = False) -> Fields:
    """The same through pyiso8583 alone, which the compiled codec falls back on."""
    _check_bitmaps(message)
    try:
        fields, encoded = iso8583.decode(message, _SPEC)
    except iso8583.DecodeError as error:
        readable = _well_formed(error.doc_dec, error.field)
        raise CodecError(error.field, error.msg, error.pos, readable) from None
    except (KeyError, IndexError, UnicodeDecodeError) as error:
        raise CodecError("t", f"not readable: {error}") from None
    for number, value in fields.items():
        fits = _WELL_FORMED.get(number)
        if fits is not None and fits(value) is None and not masked:
            raise CodecError(
                number,
                f"expected form {BY_NUMBER[number].form}",
                fields=_well_formed(fields, number),
            )
        # int() behind pyiso8583 takes signs and underscores for a length; a length is digits.
        if number in _VARIABLE and not _DIGITS.issuperset(encoded[number]["len"]):
            raise CodecError(
                number, "expected a length in digits", fields=_well_formed(fields, number)
            )
    return fields


def _well_formed(fields: Fields, wrong: str) -> Fields:
    """The fields that an answer may echo where `wrong` is wrong: all others of the right form."""
    return {
        number: value
        for number, value in fields.items()
        if number != wrong and ((fits := _WELL_FORMED.get(number)) is None or fits(value))
    }


def _check_bitmaps(message: bytes) -> None:
    """Check type and bitmaps first: with an unknown bit, every later field would be misplaced."""
    if len(message) < 12:
        raise CodecError("t", f"expected at least 12 bytes, got {len(message)}")
    if not message[:4].isdigit() or not _DIGITS.issuperset(message[:4]):
        raise CodecError("t", f"expected four digits, got {message[:4].hex()}")
    bits = message[4:12]
    if bits[0] & 0x80:
        bits = message[4:20]
        if len(bits) < 16:
            raise CodecError("1", "expected eight bytes of secondary bitmap", 12)
    width = len(bits) * 8
    unknown = int.from_bytes(bits) & ~(_KNOWN_MASK if width == 128 else _KNOWN_MASK >> 64)
    if unknown:
        number = width - unknown.bit_length() + 1
        raise CodecError(str(number), "this field is not in use here", 4, _type_alone(message))


def _type_alone(message: bytes) -> Fields:
    return {"t": message[:4].decode("ascii")}


def pack(fields: Fields) -> bytes:
    """Write one message; CodecError names a field that does not fit its table entry."""
    return compiled_codec.write(fields) or pack_plainly(fields)


def pack_plainly(fields: Fields) -> bytes:
    """The same through pyiso8583 alone."""
    for number, value in fields.items():
        fits = _WELL_FORMED.get(number)
        if fits is not None and fits(value) is None:
            raise CodecError(number, f"expected form {BY_NUMBER[number].form}, got {value!r}")
    try:
        encoded, _ = iso8583.encode(
            {key: value for key, value in fields.items() if key not in ("p", "1")}, _SPEC
        )
    except iso8583.EncodeError as error:
        raise CodecError(error.field, error.msg) from None
    return bytes(encoded)


def answer_type(message_type: str) -> str | None:
    """The message type that answers `message_type`; None where nothing does.

    A request that nobody serves has an answer too, whose third digit is one higher. An answer, with
    an odd third digit, has none.
    """
    if message_type in ANSWERS:
        return ANSWERS[message_type]
    if len(message_type) != 4 or not message_type.isdigit() or int(message_type[2]) % 2:
        return None
    return f"{message_type[:2]}{int(message_type[2]) + 1}0"
