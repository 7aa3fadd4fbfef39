"""A small comparison put together by hand, for tests of how results are shown."""

from __future__ import annotations

import random

from checkout.comparison.results import Cell, Column, Comparison, Row, Sale, SamplePayment
from checkout.comparison.simulation.country import run_country
from checkout.comparison.simulation.places import run_place
from checkout.comparison.simulation.scenarios import load_scenario
from checkout.comparison.simulation.sweep import sweep
from checkout.shop.payments.payment_times import Certain
from checkout.trace import Step

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'twice'"


def made_sale(way: str, basket: int, seed: int) -> Sale:
    """One sale; every tenth is declined, every twentieth uncertain for a while."""
    dice = random.Random(f"{way}{basket}{seed}")
    amount = 100 * dice.randint(5, 300)
    fee = amount * 6 // 1000
    outcome = "declined" if basket % 10 == 3 else "approved"
    tap = way == "tap"
    modelled = {"human": dice.lognormvariate(9.2 if tap else 9.6, 0.3)}
    modelled |= {"air": 40.0, "card": 330.0} if tap else {"network": 600.0}
    software = dice.lognormvariate(2.6 if tap else 3.4, 0.3)
    done = software + sum(modelled.values())
    party = "issuer" if tap else "operator"
    return Sale(
        way=way,
        basket=basket,
        payer="unionpay-debit",
        scheme="unionpay",
        house="four-party" if tap else "three-party",
        amount_minor=amount,
        outcome=outcome,  # type: ignore[arg-type]
        response_code="00" if outcome == "approved" else "51",
        reason="approved" if outcome == "approved" else "insufficient funds",
        software_ms=software,
        modelled_ms=modelled,
        messages=9 if tap else 7,
        round_trips={"card": 7, "switch": 1} if tap else {"phone": 3, "switch": 1},
        bytes_air=612 if tap else 0,
        bytes_wire=540 if tap else 8450,
        certain_shop_ms=done - 900,
        certain_payer_ms=done - 800,
        resolved="reversed" if basket % 20 == 5 else None,
        shares_minor={"merchant": amount - fee, party: fee} if outcome == "approved" else {},
    )


def made_sample(mode: str, words: str = "page asked for") -> SamplePayment:
    """Eight steps on one axis."""
    tap = mode == "nfc"
    device = "card" if tap else "phone"
    counter = "terminal" if tap else "shop"
    steps = [
        Step(
            n=n,
            at_ms=2.0 * n,
            source=counter if tap else device,
            target=device if tap else counter,
            what=words if n == 2 else f"exchange {n}",
            bytes_sent=20 * n,
            bytes_received=150,
            took_ms=1.2,
            detail={"5A PAN": "999901******0019", "tags": {"9F36": "0007"}} if n == 3 else {},
        )
        for n in range(1, 6)
    ]
    steps.append(
        Step(
            n=6,
            at_ms=13.0,
            source=counter,
            target="switch",
            what="0200 purchase",
            bytes_sent=412,
            bytes_received=180,
            took_ms=9.0,
        )
    )
    steps.append(
        Step(
            n=7,
            at_ms=15.0,
            source="switch",
            target="issuer",
            what="authorise",
            bytes_sent=0,
            bytes_received=0,
            took_ms=4.0,
        )
    )
    return SamplePayment(
        title="By tap" if tap else "By code",
        mode="nfc" if tap else "qr",
        amount="CNY 12.80",
        steps=tuple(steps),
        certain=Certain(shop_ms=22.0, payer_ms=24.0 if tap else 31.0),
    )


def made_rows() -> tuple[Row, ...]:
    """Two rows of a matrix, one of them with a mode that does not arise."""
    first = Cell(
        name="answer-lost",
        mode="qr",
        verdict="repaired",
        payer_saw="being checked, then taken back",
        shop_saw="outcome unknown, then reversed",
        holds="payer",
        took_ms=12.0,
    )
    second = Cell(
        name="relay",
        mode="nfc",
        verdict="works",
        payer_saw="nothing",
        shop_saw="paid",
        holds="merchant",
        stopped_by="nobody",
        step="the card answers through two phones",
        loss="CNY 1,000 without PIN",
        money_lost_minor=1280,
    )
    return (
        Row(name="answer-lost", title="Answer lost", what=HOSTILE, cells=(first,)),
        Row(name="relay", title="Relayed tap", what="The card is elsewhere", cells=(second,)),
    )


def made_comparison(
    *, places: tuple[str, ...] = (), customers: int = 4_000, country: bool = False
) -> Comparison:
    """Everything that a report can show."""
    columns = tuple(
        Column(
            name=name,
            title=title,
            mode=mode,  # type: ignore[arg-type]
            sales=tuple(made_sale(name, basket, 1) for basket in range(60)),
        )
        for name, title, mode in (
            ("code", "code, wallet", "qr"),
            ("tap", "tap, card", "nfc"),
        )
    )
    scenarios = [load_scenario(name) for name in places]
    return Comparison(
        payments=60,
        seed=1,
        version="0.1.0",
        scenario="supermarket-rush",
        currency="CNY",
        columns=columns,
        samples=(made_sample("qr"), made_sample("nfc", words=HOSTILE)),
        places=tuple(run_place(one, seed=1, customers=customers) for one in scenarios),
        sweeps=tuple(sweep(one, seed=1, customers=customers) for one in scenarios),
        country=run_country(seed=1, customers=customers) if country else None,
        faults=made_rows()[:1],
        attacks=made_rows()[1:],
        notes=("Made by hand.",),
    )
