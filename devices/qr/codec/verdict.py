"""The verdict on a payload, a broken rule and the error: shared by both EMV QR codecs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CodecError(ValueError):
    """A payload or a value that a codec refuses.

    `field` is the id of the data object (`54`, `62-09`, `61/5A`) or the name of the part;
    `position` is where the object starts in the payload, None while the payload is being built.
    """

    def __init__(self, field: str, position: int | None, message: str) -> None:
        place = "" if position is None else f" at {position}"
        super().__init__(f"{field}{place}: {message}")
        self.field = field
        self.position = position


class Verdict(StrEnum):
    """Whether a payload keeps the rules of its standard.

    `nonconforming`: it can be parsed and its check value is right, but it breaks a rule; a lenient
    reader accepts it. `invalid`: no reader should accept it.
    """

    STRICT = "strict"
    NONCONFORMING = "nonconforming"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRule:
    """One broken rule.

    `field` is the object's id, `position` counts characters (MPM) or bytes (CPM) from the start
    of the payload, `text` says in one line what is wrong. A `fatal` rule makes the payload invalid.
    """

    field: str
    position: int
    text: str
    fatal: bool = False

    def as_error(self) -> CodecError:
        """This rule as an exception."""
        return CodecError(self.field, self.position, self.text)


def verdict_on(broken: tuple[BrokenRule, ...]) -> Verdict:
    """The verdict on a payload that breaks the rules in `broken`."""
    if any(each.fatal for each in broken):
        return Verdict.INVALID
    return Verdict.NONCONFORMING if broken else Verdict.STRICT
