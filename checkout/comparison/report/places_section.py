"""The scenarios' part of the report: who is served, where taps lead, what matters most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from checkout.comparison.report.charts import Axis, Part, Swing, bars, plot, tornado
from checkout.comparison.report.formatting import limit, seconds, share
from checkout.comparison.report.markup import join, tag
from checkout.comparison.simulation.country import CountryDay
from checkout.comparison.simulation.places import Fates, PlaceResult, WorldResult
from checkout.comparison.simulation.scenarios import Scenario
from checkout.comparison.simulation.sweep import Overtaking, Sensitivity, Sweep

#: The end of a figure's title where the figure is an amount.
_MINOR = " (minor units)"

_WORLDS = {
    "qr": "codes only",
    "nfc": "taps only",
    "both": "both",
    "neither": "cash only",
}


def overtaking_section(places: Sequence[PlaceResult], sweeps: Sequence[Sweep]) -> Markup:
    """At which penetration and limit taps overtake codes, as a table and in plots."""
    by_scenario = {sweep.scenario: sweep for sweep in sweeps}
    pictures = [
        tag(
            "section",
            tag("h3", place.scenario.title),
            tag("p", _answer(place.scenario, by_scenario[place.scenario.name]), class_="note"),
            overtaking_plot(place.scenario, by_scenario[place.scenario.name].overtaking["sales"]),
        )
        for place in places
        if place.scenario.name in by_scenario
    ]
    return join(_answers(places, by_scenario), tag("div", pictures, class_="plots"))


def _answers(places: Sequence[PlaceResult], by_scenario: Mapping[str, Sweep]) -> Markup:
    """The same as a table: a place in each row, at the limit in force."""
    head = ("terminals now", "codes now", "limit without PIN", "taps overtake at", "today")
    rows = []
    for place in places:
        scenario = place.scenario
        if scenario.name not in by_scenario:
            continue
        sales = by_scenario[scenario.name].overtaking["sales"]
        needed = sales.penetration_at(sales.nearest(scenario.tap_limit_minor))
        cells = (
            share(scenario.terminal_penetration),
            share(scenario.code_penetration),
            _limit_words(scenario),
            _needed_words(sales, needed, scenario),
            "taps lead" if _taps_lead(scenario, needed) else "codes lead",
        )
        kinds = ("n", "n", "n", "n", "nfc" if _taps_lead(scenario, needed) else "qr")
        name = tag("a", scenario.title, href=f"#place-{scenario.name}")
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                [tag("td", cell, class_=kind) for cell, kind in zip(cells, kinds, strict=True)],
            )
        )
    heads = [
        tag("th", title, class_="n" if number < 4 else None, scope="col")
        for number, title in enumerate(head)
    ]
    table = tag("table", tag("thead", tag("tr", tag("th", "place"), heads)), tag("tbody", rows))
    return tag("div", table, class_="wide")


def _needed_words(sales: Overtaking, needed: float | None, scenario: Scenario) -> str:
    if needed is not None:
        return f"{share(needed)} of shops"
    reached = [
        (limit_minor, at)
        for index, limit_minor in enumerate(sales.limits_minor)
        if (at := sales.penetration_at(index)) is not None
    ]
    if not reached:
        return "never, at any limit"
    least, at = reached[0]
    return f"not here; {share(at)} from {limit(least, scenario.currency)} on"


def _limit_words(scenario: Scenario) -> str:
    most = limit(scenario.tap_limit_minor, scenario.currency)
    return f"{scenario.currency}\N{NO-BREAK SPACE}{most}"


def _taps_lead(scenario: Scenario, needed: float | None) -> bool:
    return needed is not None and scenario.terminal_penetration > needed


def overtaking_plot(scenario: Scenario, overtaking: Overtaking) -> Markup:
    """Penetration by tap limit: above the line taps bring more, below it codes do."""
    limits = [max(limit_minor, 500) for limit_minor in overtaking.limits_minor]
    line = []
    for index, at in enumerate(limits):
        needed = overtaking.penetration_at(index)
        line.append((float(at), 1.0 if needed is None else needed))
    corners = [(line[-1][0], 0.0), (line[0][0], 0.0)], [(line[-1][0], 1.0), (line[0][0], 1.0)]
    x = Axis(
        low=limits[0],
        high=limits[-1],
        ticks=[
            (float(at), limit(limit_minor, scenario.currency))
            for at, limit_minor in zip(limits, overtaking.limits_minor, strict=True)
        ],
        title=f"most that a card pays without PIN, {scenario.currency}",
        logarithmic=True,
    )
    y = Axis(
        low=0,
        high=1,
        ticks=[(part / 4, share(part / 4)) for part in range(5)],
        title="shops with a terminal",
    )
    here = (float(max(scenario.tap_limit_minor, 500)), scenario.terminal_penetration)
    return plot(
        [],
        x,
        y,
        label=f"{scenario.title}: terminal penetration at which taps overtake codes, by tap limit",
        areas=[
            ([*line, *corners[0]], "codes bring more sales", "qr"),
            ([*line, *corners[1]], "taps bring more sales", "nfc"),
        ],
        marks=[(*here, "as it stands")],
    )


def _answer(scenario: Scenario, swept: Sweep) -> str:
    return _answer_words(scenario, swept).replace(" %", "\N{NO-BREAK SPACE}%")


def _answer_words(scenario: Scenario, swept: Sweep) -> str:
    sales = swept.overtaking["sales"]
    needed = sales.penetration_at(sales.nearest(scenario.tap_limit_minor))
    standing = (
        f"{share(scenario.terminal_penetration)} of shops have a terminal, "
        f"{share(scenario.code_penetration)} a code."
    )
    if needed is None:
        return f"Codes lead at any penetration and limit tried. {standing}"
    leader = "taps lead" if _taps_lead(scenario, needed) else "codes lead"
    return (
        f"At a limit of {_limit_words(scenario)} taps overtake once {share(needed)} of shops have "
        f"a terminal; as it stands {leader}. {standing}"
    )


def places_section(places: Sequence[PlaceResult], sweeps: Sequence[Sweep]) -> Markup:
    """Each scenario: what became of its customers, the waits, and what the result depends on."""
    by_scenario = {sweep.scenario: sweep for sweep in sweeps}
    return join(_place(place, by_scenario.get(place.scenario.name)) for place in places)


def _place(place: PlaceResult, swept: Sweep | None) -> Markup:
    scenario = place.scenario
    worlds = {_WORLDS[world]: place.worlds[world] for world in ("qr", "nfc", "both")}
    return tag(
        "section",
        tag("h3", scenario.title, id=f"place-{scenario.name}"),
        tag("p", scenario.story, class_="note"),
        bars(
            {title: _fates(Fates.of([result])) for title, result in worlds.items()},
            label=f"{scenario.title}: customers by what became of them",
            full=1.0,
        ),
        _queue_table(worlds),
        _sensitivity(scenario, swept) if swept is not None else None,
    )


def _fates(fates: Fates) -> list[Part]:
    came = max(fates.arrived, 1)
    kinds = (
        ("paid by code", "qr", fates.by_code),
        ("paid by tap", "nfc", fates.by_tap),
        ("paid cash", "cash", fates.by_cash),
        ("lost: nothing to pay with", "lost", fates.unable),
        ("lost: gave up waiting or paying", "gave-up", fates.gave_up),
    )
    return [
        Part(title=title, kind=kind, value=part / came, shown=share(part / came))
        for title, kind, part in kinds
    ]


def _queue_table(worlds: dict[str, WorldResult]) -> Markup:
    figures: tuple[tuple[str, Callable[[WorldResult], str]], ...] = (
        ("wait, mean", lambda result: seconds(result.mean_wait_s)),
        ("wait, 95 of 100 below", lambda result: seconds(result.p95_wait_s)),
        ("people in line, mean", lambda result: f"{result.mean_line:.1f}"),
        ("counters busy", lambda result: share(result.busy)),
        (
            "fees, share of sales",
            lambda result: share(_fee_share(result), 2),
        ),
        ("value lost with customers", lambda result: share(_lost_share(result), 1)),
    )
    head = [tag("th", title, class_="n", scope="col") for title in worlds]
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [tag("td", read(result), class_="n") for result in worlds.values()],
        )
        for name, read in figures
    ]
    table = tag("table", tag("thead", tag("tr", tag("th", ""), head)), tag("tbody", rows))
    return tag("div", table, class_="wide")


def _fee_share(result: WorldResult) -> float:
    return result.fees_minor / max(result.sold_minor, 1)


def _lost_share(result: WorldResult) -> float:
    return result.lost_minor / max(result.sold_minor + result.lost_minor, 1)


def _sensitivity(scenario: Scenario, swept: Sweep) -> Markup:
    return join(
        tag(
            "p",
            f"Taps' lead over codes is now {_points(swept.lead)} percentage points of all who "
            "come, shops' penetration counted in. "
            "What moves it most, one figure at a time: a bar reaches from the lead at one value to "
            "the lead at the other; the dark mark is today, the grey one a tie.",
            class_="note",
        ),
        tornado(
            [_swing(figure, scenario.currency) for figure in swept.sensitivity[:6]],
            100 * swept.lead,
            label=f"{scenario.title}: what moves taps' lead over codes",
            show=_points_of,
        ),
    )


def _points(lead: float) -> str:
    return _points_of(100 * lead)


def _points_of(points: float) -> str:
    return f"{round(points):+d}" if round(points) else "0"


def _swing(figure: Sensitivity, currency: str) -> Swing:
    shares = figure.high <= 1.0 and "times" not in figure.title
    low, high = (
        (share(figure.low), share(figure.high))
        if shares
        else (f"{figure.low:g}", f"{figure.high:g}")
    )
    title = figure.title
    if title.endswith(_MINOR):
        title = title.removesuffix(_MINOR)
        low, high = (limit(round(value), currency) for value in (figure.low, figure.high))
        high = f"{high} {currency}"
    return Swing(
        title=f"{title}: {low} to {high}".replace(" %", "\N{NO-BREAK SPACE}%"),
        low_words=low,
        high_words=high,
        low=100 * figure.lead_low,
        high=100 * figure.lead_high,
    )


def country_section(day: CountryDay) -> Markup:
    """The whole country and each kind of place in it: customers by what became of them."""
    rows = {"All": _fates(day.fates)}
    for place in day.places:
        fates = Fates.of(place.worlds.values())
        part = share(fates.arrived / max(day.fates.arrived, 1))
        rows[f"{place.scenario.title} ({part} of all)"] = _fates(fates)
    return bars(rows, label="A country's customers by what became of them", full=1.0)
