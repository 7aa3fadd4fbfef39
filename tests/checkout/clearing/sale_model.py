"""The life of one sale as a strict table, written from the rules and not from the switch.

`ROWS` says what each message does in each phase; the first row that fits counts. CUPS is Q/CUP
006.6-2015, the network's own appendix on message flows, as its public descriptions quote it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

SALE_MINOR, COMPLETED_MINOR, PART_MINOR = 10_000, 9_000, 3_000
ROOTS = ("sale", "preauthorisation")
MESSAGES = (
    "void",
    "release",
    "completion",
    "part-refund",
    "whole-refund",
    "reverse-root",
    "reverse-void",
    "reverse-release",
    "reverse-completion",
    "reverse-part-refund",
    "reverse-whole-refund",
    "chargeback",
    "representment",
    "final-for-payer",
    "final-for-merchant",
)
_STANDING = ("sold", "posted")
_DISPUTED = ("charged-back", "represented", "final-for-payer", "final-for-merchant")
_PAID = (*_STANDING, "part-refunded", "refunded", *_DISPUTED)
_ANY = ("held", "released", "voided", "reversed", *_PAID)


class Row(NamedTuple):
    """In one of `phases` a message is answered `code` and does `act`; why."""

    message: str
    phases: tuple[str, ...]
    code: str
    act: str
    why: str


ROWS = (
    Row("void", ("sold",), "00", "end", "a void takes back a sale of the same day (CUPS)"),
    Row("void", _ANY, "12", "", "void of another day, or of what no longer stands: 12 (CUPS)"),
    Row("release", ("held",), "00", "end", "a pre-authorisation's void frees what is held"),
    Row("release", _ANY, "12", "", "nothing is held"),
    Row("completion", ("held",), "00", "complete", "a completion turns a hold into a sale, once"),
    Row("completion", _ANY, "12", "", "nothing is held"),
    Row("refund", _PAID, "00", "refund", "up to what the payer has not got back or claimed: 61"),
    Row("refund", _ANY, "12", "", "a refund returns what was paid, and nothing is paid"),
    Row("reverse-root", ("held", *_STANDING), "00", "reverse", "0420: as if it had never been"),
    Row("reverse-root", _PAID, "12", "", "a refund or dispute builds on it"),
    Row("reverse-root", _ANY, "00", "forget", "undone already; nothing may bring it back"),
    Row("reverse-completion", _STANDING, "00", "reverse", "0420; of the same day: held again"),
    Row("reverse-completion", _PAID, "12", "", "a refund or dispute builds on it"),
    Row(
        "reverse-completion", ("voided",), "00", "forget", "undone already; nothing brings it back"
    ),
    Row("reverse-completion", _ANY, "00", "", "reversed already"),
    Row("reverse-void", ("voided",), "00", "reinstate", "0420 of the void: the sale is back"),
    Row("reverse-void", _ANY, "00", "", "the void, or what it took back, stands no longer"),
    Row("reverse-release", ("released",), "00", "reinstate", "0420 of the void: held again"),
    Row("reverse-release", _ANY, "00", "", "the void, or what it took back, stands no longer"),
    Row("reverse-refund", _ANY, "00", "unrefund", "0420 of the refund, once"),
    Row("chargeback", (*_STANDING, "part-refunded"), "00", "dispute", "all that is left"),
    Row("chargeback", _ANY, "12", "", "nothing left to take back, or disputed before"),
    Row("representment", ("charged-back",), "00", "represent", "answers a chargeback (DE25 13)"),
    Row("representment", _ANY, "12", "", "no chargeback is open"),
    Row("final-for-payer", ("represented",), "00", "to-payer", "second chargeback (DE25 41)"),
    Row("final-for-payer", _ANY, "12", "", "nothing to decide"),
    Row("final-for-merchant", ("represented",), "00", "to-merchant", "the money stays"),
    Row("final-for-merchant", _ANY, "12", "", "nothing to decide"),
)


@dataclass
class Refund:
    """One refund that was approved."""

    minor: int
    posted: bool = False
    undone: bool = False


@dataclass
class SaleModel:
    """One sale. `available` is what the payer may spend, from 0; `incoming` what the close adds."""

    root: str
    base: str = ""  # held, released, sold, posted, voided, reversed
    minor: int = SALE_MINOR
    is_completed: bool = False
    dispute: str = ""
    disputed_minor: int = 0
    available: int = 0
    incoming: int = 0
    refunds: list[Refund] = field(default_factory=list)
    latest: dict[str, Refund | bool] = field(default_factory=dict)  # False: it was refused

    def __post_init__(self) -> None:
        """The first message, which is approved."""
        self.base = "held" if self.root == "preauthorisation" else "sold"
        self.available -= self.minor

    @property
    def refunded_minor(self) -> int:
        """What refunds that stand come to."""
        return sum(one.minor for one in self.refunds if not one.undone)

    @property
    def phase(self) -> str:
        """The word by which the table knows it."""
        if self.base not in _STANDING:
            return self.base
        if self.dispute:
            return self.dispute
        if self.refunded_minor:
            return "refunded" if self.refunded_minor == self.minor else "part-refunded"
        return self.base

    def can_name(self, message: str) -> bool:
        """Whether there is something that this message could be about."""
        kind = message.removeprefix("reverse-")
        return kind in (message, "root") or kind in self.latest

    def send(self, message: str) -> str:
        """The code of the answer, with all that the message does."""
        kind = message.removeprefix("reverse-")
        if kind != message and kind != "root" and self.latest[kind] is False:
            return "00"  # what was declined has moved nothing
        named = message.replace("part-refund", "refund").replace("whole-refund", "refund")
        phase = self.phase
        row = next(row for row in ROWS if row.message == named and phase in row.phases)
        code = row.code
        if named == "reverse-root" and self.is_completed and phase in _PAID:
            return "12"  # a completion builds on the hold
        if row.act == "refund":
            code = self._refund(message)
        elif row.act == "unrefund":
            self._unrefund(self.latest[kind])
        elif row.act:
            getattr(self, "_" + row.act.replace("-", "_"))()
        if kind == message and row.act != "refund":
            self.latest[message] = code == "00"
        return code

    def close(self) -> None:
        """The close of the day."""
        self.base = "posted" if self.base == "sold" else self.base
        self.available += self.incoming
        self.incoming = 0
        for refund in self.refunds:
            refund.posted = True

    def _end(self) -> None:
        self.base = "released" if self.base == "held" else "voided"
        self.available += self.minor

    def _complete(self) -> None:
        self.base, self.is_completed = "sold", True
        self.available += self.minor - COMPLETED_MINOR
        self.minor = COMPLETED_MINOR

    def _refund(self, message: str) -> str:
        minor = PART_MINOR if message == "part-refund" else self.minor
        claimed = 0 if self.dispute in ("", "final-for-merchant") else self.disputed_minor
        if minor > self.minor - self.refunded_minor - claimed:
            self.latest[message] = False
            return "61"
        refund = Refund(minor)
        self.refunds.append(refund)
        self.latest[message] = refund
        self.incoming += minor
        return "00"

    def _unrefund(self, refund: Refund | bool) -> None:
        assert isinstance(refund, Refund)
        if refund.undone:
            return
        refund.undone = True
        if refund.posted:
            self.available -= refund.minor
        else:
            self.incoming -= refund.minor

    def _reverse(self) -> None:
        if self.base == "posted":
            self.incoming += self.minor
            self.base = "reversed"
            return
        self.available += self.minor
        if self.is_completed:  # only the completion is reversed here; the hold is back
            self.base, self.is_completed, self.minor = "held", False, SALE_MINOR
            self.available -= self.minor
            return
        self.base = "reversed"

    def _forget(self) -> None:
        self.base = "reversed"

    def _reinstate(self) -> None:
        self.base = "held" if self.base == "released" else "sold"
        self.available -= self.minor

    def _dispute(self) -> None:
        self.dispute, self.disputed_minor = "charged-back", self.minor - self.refunded_minor
        self.incoming += self.disputed_minor

    def _represent(self) -> None:
        self.dispute = "represented"
        self.available -= self.disputed_minor

    def _to_payer(self) -> None:
        self.dispute = "final-for-payer"
        self.incoming += self.disputed_minor

    def _to_merchant(self) -> None:
        self.dispute = "final-for-merchant"
