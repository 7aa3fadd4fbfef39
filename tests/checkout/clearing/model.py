"""A single-threaded model of both houses, simple enough to be right at a glance.

It knows who has how much, what each message did and what may follow it; it shares no code with the
switch. Amounts are fen; `billing` is the payer's side where currencies differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOLD_DAYS = 30


@dataclass(eq=False)
class Booked:
    """One entry: `direction` -1 takes from the payer at once, +1 gives when it is posted."""

    kind: str  # sale, hold, refund, contra, top-up
    account: str
    amount: int
    billing: int
    day: int
    direction: int
    state: str = "pending"
    refunded: int = 0
    refunded_billing: int = 0
    successors: list[Booked] = field(default_factory=list)
    original: Booked | None = None
    undone: bool = False
    reinstated: bool = False
    until: int = 0  # the day on which a hold runs out
    wallet: str = ""  # whose balance a top-up, or its return, moves at once
    credits_wallet: bool = False  # at the close: a return that was posted, taken back

    def latest(self) -> Booked:
        """What it is now: its completion, or what was put in again, even where that has ended."""
        return self.successors[-1].latest() if self.successors else self

    @property
    def stands(self) -> bool:
        """Whether it can still be built upon."""
        return self.state in ("pending", "posted") and not self.undone


@dataclass(eq=False)
class Sent:
    """One message as the switch has answered it."""

    kind: str
    code: str
    booked: Booked | None = None
    released: Booked | None = None  # what a void took back


@dataclass
class Model:
    """All accounts by number: what may be spent, credit lines included."""

    available: dict[str, int]
    linked: dict[str, str]
    funding: dict[str, str] = field(default_factory=dict)
    day: int = 0
    entries: list[Booked] = field(default_factory=list)

    def pay(self, kind: str, account: str, amount: int, billing: int) -> Sent:
        """A purchase or hold; a linked account pays for its wallet."""
        source = self.linked.get(account, account)
        if billing > self.available[source]:
            return Sent(kind, "51")
        return Sent(kind, "00", self._book(kind, source, amount, billing, -1))

    def top_up(self, wallet: str, amount: int) -> Sent:
        """From the bank account that funds a wallet into its balance, which is there at once."""
        bank = self.funding.get(wallet)
        if bank is None:
            return Sent("top-up", "57")
        if amount > self.available[bank]:
            return Sent("top-up", "51")
        made = self._book("top-up", bank, amount, amount, -1)
        made.state, made.wallet = "posted", wallet
        self.available[wallet] += amount
        return Sent("top-up", "00", made)

    def give_back(self, top_up: Booked, amount: int, *, void: bool) -> Sent:
        """A void or refund of a top-up: out of the balance at once, into the bank at the close."""
        if top_up.undone:
            return Sent("refund", "12")
        if void and (top_up.day != self.day or top_up.refunded):
            return Sent("void", "12")
        if void and amount != top_up.amount:
            return Sent("void", "64")
        if amount > top_up.amount - top_up.refunded:
            return Sent("refund", "61")
        if amount > self.available[top_up.wallet]:
            return Sent("refund", "51")
        top_up.refunded += amount
        top_up.refunded_billing += amount
        self.available[top_up.wallet] -= amount
        back = self._book("refund", top_up.account, amount, amount, +1)
        back.original, back.wallet = top_up, top_up.wallet
        return Sent("refund", "00", back)

    def void(self, original: Booked, amount: int) -> Sent:
        """The whole of a sale, on its day."""
        sale = original.latest()
        if sale.kind == "top-up":
            return self.give_back(sale, amount, void=True)
        if sale.kind != "sale" or sale.state != "pending" or sale.undone:
            return Sent("void", "12")
        if sale.day != self.day or sale.refunded:
            return Sent("void", "12")
        if amount != sale.amount:
            return Sent("void", "64")
        self._void(sale)
        return Sent("void", "00", released=sale)

    def release(self, original: Booked, amount: int) -> Sent:
        """Give up the whole of a hold."""
        hold = original.latest()
        if hold.kind != "hold" or hold.state != "pending":
            return Sent("release", "12")
        if amount != hold.amount:
            return Sent("release", "64")
        self._void(hold)
        return Sent("release", "00", released=hold)

    def complete(self, original: Booked, amount: int, billing: int, *, advice: bool) -> Sent:
        """Turn a hold into a sale."""
        hold = original.latest()
        if hold.kind != "hold" or hold.state != "pending" or self.day >= hold.until:
            return Sent("complete", "12")
        if amount > hold.amount * 115 // 100:
            return Sent("complete", "61")
        if billing - hold.billing > self.available[hold.account] and not advice:
            return Sent("complete", "51")
        self._void(hold)
        sale = self._book("sale", hold.account, amount, billing, -1)
        sale.original = hold
        hold.successors.append(sale)
        return Sent("complete", "00", sale)

    def refund(self, original: Booked, amount: int) -> Sent:
        """Give a part back."""
        sale = original.latest()
        if sale.kind == "top-up":
            return self.give_back(sale, amount, void=False)
        if sale.kind != "sale" or not sale.stands:
            return Sent("refund", "12")
        if amount > sale.amount - sale.refunded:
            return Sent("refund", "61")
        upto = _half_up(sale.billing * (sale.refunded + amount), sale.amount)
        back = max(upto - sale.refunded_billing, 0) if sale.billing != sale.amount else amount
        sale.refunded += amount
        sale.refunded_billing += back
        refund = self._book("refund", sale.account, amount, back, +1)
        refund.original = sale
        return Sent("refund", "00", refund)

    def reverse(self, sent: Sent) -> str:
        """Undo a message, once."""
        if sent.code != "00":
            return "00"
        if sent.released is not None:
            if not (sent.released.reinstated or sent.released.undone):
                sent.released.reinstated = True
                self._again(sent.released)
            return "00"
        entry = sent.booked
        assert entry is not None
        latest = entry.latest()
        if not latest.stands:
            latest.undone = True  # for good: nothing puts in again what was reversed
            return "00"
        if entry.kind == "hold" and latest.kind == "sale":
            return "12"  # completed
        if latest.refunded:
            return "12"
        if latest.kind == "top-up":
            if latest.amount > self.available[latest.wallet]:
                return "12"  # spent
            self.available[latest.wallet] -= latest.amount
        elif latest.wallet and latest.state == "pending":
            self.available[latest.wallet] += latest.amount
        was_pending = latest.state == "pending"
        if was_pending:
            self._void(latest)
        else:
            latest.undone = True
            kind = "contra" if latest.direction < 0 else "refund-contra"
            contra = self._book(
                kind, latest.account, latest.amount, latest.billing, -latest.direction
            )
            contra.wallet, contra.credits_wallet = latest.wallet, latest.kind == "refund"
        if latest.kind == "refund" and latest.original is not None:
            latest.original.refunded -= latest.amount
            latest.original.refunded_billing -= latest.billing
        if sent.kind == "complete" and entry.original is not None and was_pending:
            self._again(entry.original)
        return "00"

    def close(self) -> None:
        """Post everything but holds, drop those that have run out, go on to the next day."""
        for one in self.entries:
            if one.state == "pending" and one.kind != "hold":
                one.state = "posted"
                if one.direction > 0:
                    self.available[one.account] += one.billing
                if one.wallet and one.credits_wallet:
                    self.available[one.wallet] += one.amount
        self.day += 1
        for one in self.entries:  # a hold runs out by the clock
            if one.state == "pending" and one.kind == "hold" and self.day >= one.until:
                one.state = "expired"
                self.available[one.account] += one.billing
        self.entries = [one for one in self.entries if one.state == "pending"]

    def _book(self, kind: str, account: str, amount: int, billing: int, way: int) -> Booked:
        made = Booked(kind, account, amount, billing, self.day, way, until=self.day + HOLD_DAYS)
        self.entries.append(made)
        if way < 0:
            self.available[account] -= billing
        return made

    def _void(self, entry: Booked) -> None:
        entry.state = "voided"
        if entry.direction < 0:
            self.available[entry.account] += entry.billing

    def _again(self, entry: Booked) -> None:
        again = self._book(entry.kind, entry.account, entry.amount, entry.billing, -1)
        again.until = entry.until
        entry.successors.append(again)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
