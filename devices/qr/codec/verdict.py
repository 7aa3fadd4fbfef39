"""What both EMV QR codecs share: the verdict on a payload, a broken rule, and the error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CodecError(ValueError):
    """A payload or value that a codec cannot take.

    `field` is the id of the data object (`54`, `62-09`, `61/5A`) or the name of the part;
    `position` is where it starts in the payload, None where there is no payload yet.
    """

    def __init__(self, field: str, position: int | None, message: str) -> None:
        place = "" if position is None else f" at {position}"
        super().__init__(f"{field}{place}: {message}")
        self.field = field
        self.position = position


class Verdict(StrEnum):
    """How a payload stands with its standard.

    `nonconforming`: it comes apart and its check value holds, but a rule is broken; a lenient
    reader goes on. `invalid`: no reader should.
    """

    STRICT = "strict"
    NONCONFORMING = "nonconforming"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRule:
    """One broken rule: `field` is the object's id, `position` counts characters (MPM) or bytes
    (CPM) from the start of the payload, `text` is the one-line finding."""

    field: str
    position: int
    text: str

    def as_error(self) -> CodecError:
        """The same finding as an exception."""
        return CodecError(self.field, self.position, self.text)
