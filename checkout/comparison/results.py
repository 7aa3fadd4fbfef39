"""The results of a comparison: each sale, each way to pay, each cell of a matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from checkout.comparison.quantile import quantile
from checkout.comparison.simulation.country import CountryDay
from checkout.comparison.simulation.places import PlaceResult
from checkout.comparison.simulation.sweep import Sweep
from checkout.shop.payments.payment_times import Certain
from checkout.trace import Step

#: How a payer pays: scanning the shop's code, showing a code of one's own, tapping.
CellMode = Literal["qr", "payer-code", "nfc"]
CELL_MODES: tuple[CellMode, ...] = ("qr", "payer-code", "nfc")

Outcome = Literal["approved", "declined", "unknown", "reversed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """One sale as it was run. Times are milliseconds, amounts minor units, bytes as counted.

    `software_ms` was measured; `modelled_ms` came from the models. `certain_shop_ms` and
    `certain_payer_ms` are when each was certain of the money, from the first step, modelled time
    included.
    `shares_minor` says who gets what of an approved sale; it adds up to the amount.
    """

    way: str
    basket: int
    payer: str
    scheme: str
    house: str
    amount_minor: int
    outcome: Outcome
    response_code: str | None
    reason: str
    software_ms: float
    modelled_ms: Mapping[str, float]  # by nature: human, air, card, network
    messages: int
    round_trips: Mapping[str, int]  # by the party that answered
    bytes_air: int
    bytes_wire: int
    certain_shop_ms: float | None
    certain_payer_ms: float | None
    fault: str | None = None
    resolved: str | None = None
    shares_minor: Mapping[str, int] = field(default_factory=dict)
    booked: int = 1  # how often the books hold the money: 1 for an approved sale, else 0

    @property
    def modelled_total_ms(self) -> float:
        """The modelled part in all."""
        return sum(self.modelled_ms.values())

    @property
    def whole_ms(self) -> float:
        """Measured software and modelled rest together."""
        return self.software_ms + self.modelled_total_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median and tails of one figure."""

    median: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """The spread of some values; None where there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        return cls(
            median=quantile(ordered, 0.5), p95=quantile(ordered, 0.95), p99=quantile(ordered, 0.99)
        )

    def as_json(self) -> dict[str, float]:
        """Rounded to the microsecond where the unit is milliseconds."""
        return {
            "median": round(self.median, 3),
            "p95": round(self.p95, 3),
            "p99": round(self.p99, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One way to pay, over all its sales."""

    name: str
    title: str
    mode: CellMode
    sales: tuple[Sale, ...]

    def count(self, outcome: Outcome) -> int:
        """The number of sales with that outcome."""
        return sum(sale.outcome == outcome for sale in self.sales)

    @property
    def approved(self) -> tuple[Sale, ...]:
        """Sales that brought money."""
        return tuple(sale for sale in self.sales if sale.outcome == "approved")

    @property
    def declines(self) -> Counter[str]:
        """Declined sales by reason."""
        return Counter(sale.reason for sale in self.sales if sale.outcome == "declined")

    @property
    def unknowns(self) -> Counter[str]:
        """Sales that were uncertain for a while, by how they were resolved."""
        return Counter(sale.resolved or "not yet" for sale in self.sales if sale.resolved)

    @property
    def software_ms(self) -> Spread | None:
        """Measured software time of approved sales."""
        return Spread.of(sale.software_ms for sale in self.approved)

    @property
    def modelled_ms(self) -> Spread | None:
        """Modelled time of approved sales."""
        return Spread.of(sale.modelled_total_ms for sale in self.approved)

    @property
    def whole_ms(self) -> Spread | None:
        """Measured and modelled time of approved sales."""
        return Spread.of(sale.whole_ms for sale in self.approved)

    @property
    def certain_shop_ms(self) -> Spread | None:
        """When the shop was certain of the money."""
        return Spread.of(
            sale.certain_shop_ms for sale in self.approved if sale.certain_shop_ms is not None
        )

    @property
    def certain_payer_ms(self) -> Spread | None:
        """When the payer was certain."""
        return Spread.of(
            sale.certain_payer_ms for sale in self.approved if sale.certain_payer_ms is not None
        )

    @property
    def sold_minor(self) -> int:
        """Value of the approved sales."""
        return sum(sale.amount_minor for sale in self.approved)

    @property
    def income_minor(self) -> dict[str, int]:
        """Who got what of it; adds up to `sold_minor`."""
        total: Counter[str] = Counter()
        for sale in self.approved:
            total.update(sale.shares_minor)
        return dict(total)

    @property
    def cost_share(self) -> float:
        """Fees as a share of sales."""
        return 1 - self.income_minor.get("merchant", 0) / self.sold_minor if self.sold_minor else 0

    def mean(self, figure: str) -> float:
        """Mean of a counted figure (`messages`, `bytes_air`, `bytes_wire`) over approved sales."""
        values = [getattr(sale, figure) for sale in self.approved]
        return sum(values) / len(values) if values else 0.0

    @property
    def round_trips(self) -> dict[str, float]:
        """Mean round trips by party over approved sales."""
        total: Counter[str] = Counter()
        for sale in self.approved:
            total.update(sale.round_trips)
        count = max(len(self.approved), 1)
        return {party: trips / count for party, trips in sorted(total.items())}

    def modelled_by_nature(self) -> dict[str, float]:
        """Mean modelled milliseconds by nature over approved sales."""
        total: dict[str, float] = {}
        for sale in self.approved:
            for nature, spent in sale.modelled_ms.items():
                total[nature] = total.get(nature, 0.0) + spent
        return {nature: spent / len(self.approved) for nature, spent in total.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePayment:
    """One payment of a way with its steps, to be shown beside those of the other ways."""

    title: str
    mode: CellMode
    amount: str
    steps: tuple[Step, ...]
    certain: Certain


Verdict = Literal["safe", "declined", "works", "repaired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a matrix, as it was run: a fault or an attack by one mode.

    `verdict` of a fault: safe (nothing happened to the money) or repaired (it did and was put
    right). Of an attack: declined (stopped) or works. `holds` says who has the money at the end.
    `stopped_by`, `step` and `because` come from the software's answer when it stopped an attack; of
    an attack that works, `step` is the last one that let it through.
    """

    name: str
    mode: CellMode
    verdict: Verdict
    payer_saw: str
    shop_saw: str
    holds: str
    stopped_by: str = ""
    step: str = ""
    because: str = ""
    loss: str = ""
    money_lost_minor: int = 0
    taken_twice_minor: int = 0
    took_ms: float = 0.0

    def with_other(self, title: str, other: Cell) -> Cell:
        """This cell with the result of a second order of the same run added."""
        return replace(
            self,
            payer_saw=f"{self.payer_saw}; {title}: {other.payer_saw}",
            shop_saw=f"{self.shop_saw}; {title}: {other.shop_saw}",
            holds=f"{self.holds}; {title}: {other.holds}",
            money_lost_minor=self.money_lost_minor + other.money_lost_minor,
            taken_twice_minor=self.taken_twice_minor + other.taken_twice_minor,
            took_ms=self.took_ms + other.took_ms,
        )

    def as_json(self) -> dict[str, Any]:
        """The cell without its measured time."""
        shown: dict[str, Any] = {
            "name": self.name,
            "mode": self.mode,
            "verdict": self.verdict,
            "payer_saw": self.payer_saw,
            "shop_saw": self.shop_saw,
            "holds_the_money": self.holds,
            "money_lost_minor": self.money_lost_minor,
            "taken_twice_minor": self.taken_twice_minor,
        }
        for key, value in (
            ("stopped_by", self.stopped_by),
            ("step", self.step),
            ("because", self.because),
            ("loss_at_most", self.loss),
        ):
            if value:
                shown[key] = value
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a matrix: what happens, its cells by mode, and why a mode has none (`absent`).

    `remedy` is what helps against an attack that works.
    """

    name: str
    title: str
    what: str
    cells: tuple[Cell, ...]
    absent: Mapping[CellMode, str] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All results of one comparison."""

    payments: int
    seed: int
    version: str
    scenario: str
    currency: str
    columns: tuple[Column, ...]
    samples: tuple[SamplePayment, ...]
    places: tuple[PlaceResult, ...]
    sweeps: tuple[Sweep, ...]
    country: CountryDay | None = None
    faults: tuple[Row, ...] = ()
    attacks: tuple[Row, ...] = ()
    notes: Sequence[str] = ()
