"""Payments as sequence diagrams on one time axis, and their steps to open one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from checkout.comparison.report.html_builder import Markup, join, number, tag
from checkout.comparison.results import Story
from checkout.trace import Step

_WIDE = 960
_LEFT, _RIGHT, _TOP = 118, 24, 30
_LANE = 34

_Place = Callable[[float], float]


def sequences(stories: Sequence[Story], *, with_steps: bool = True) -> Markup:
    """Stories below each other, each with its lanes, all on the same milliseconds.

    Arrows go from lane to lane at the time of the message; a bar says how long the answer took;
    flags say when shop and payer were certain of the money.
    """
    end_ms = max((_end_ms(story) for story in stories), default=1.0) or 1.0
    return join(
        tag(
            "section",
            tag("h3", story.title, tag("small", f" {story.amount}")),
            tag("div", _diagram(story, end_ms), class_="wide"),
            _steps(story) if with_steps else None,
            class_=f"story {story.mode}",
        )
        for story in stories
    )


def lanes(steps: Sequence[Step]) -> list[str]:
    """The parties in the order in which they first appear; a counter stands before its shop."""
    seen: dict[str, None] = {}
    for step in steps:
        seen.setdefault(step.source)
        seen.setdefault(step.target)
    found = list(seen)
    if {"counter", "shop"} <= seen.keys() and found.index("counter") > found.index("shop"):
        found.remove("counter")
        found.insert(found.index("shop"), "counter")
    return found


def _measured(story: Story) -> list[Step]:
    """What a model added took no time here, and so has no place on the axis."""
    return [step for step in story.steps if step.nature != "modelled"]


def _end_ms(story: Story) -> float:
    ends = [step.at_ms + step.took_ms for step in _measured(story)]
    known = [at for at in (story.shop_knows_ms, story.payer_knows_ms) if at is not None]
    return max([*ends, *known], default=0.0)


def _diagram(story: Story, end_ms: float) -> Markup:
    shown = _measured(story)
    parties = lanes(shown)
    rows = {party: _TOP + 26 + index * _LANE for index, party in enumerate(parties)}
    tall = _TOP + 26 + len(parties) * _LANE + 26
    span = _WIDE - _LEFT - _RIGHT

    def at(ms: float) -> float:
        return _LEFT + ms / end_ms * span

    floor = tall - 30
    parts = [_axis(end_ms, span, floor)]
    for party, row in rows.items():
        parts.append(tag("text", party, x=_LEFT - 10, y=row + 4, text_anchor="end", class_="lane"))
        parts.append(tag("path", d=f"M{_LEFT} {row}H{_WIDE - _RIGHT}", class_="lifeline"))
    for step in shown:
        parts.append(_arrow(step, rows[step.source], rows[step.target], at))
    flags = _flags(story, at, floor)
    label = f"{story.title}: {len(shown)} steps between {len(parties)} parties"
    return tag(
        "svg",
        tag("title", label),
        parts,
        flags,
        viewBox=f"0 0 {_WIDE} {tall}",
        class_="sequence",
        role="img",
    )


def _axis(end_ms: float, span: float, floor: float) -> Markup:
    step = _round_step(end_ms / 6)
    parts = []
    value = 0.0
    while value <= end_ms:
        px = _LEFT + value / end_ms * span
        words = f"{value / 1000:g} s" if step >= 1000 else f"{value:g} ms"
        parts.append(tag("path", d=f"M{number(px)} {_TOP}V{number(floor)}", class_="grid"))
        parts.append(
            tag(
                "text",
                words,
                x=number(px),
                y=number(floor + 18),
                text_anchor="middle",
                class_="tick",
            )
        )
        value += step
    return join(parts)


def _round_step(wanted: float) -> float:
    size = 10.0 ** len(str(int(max(wanted, 1)))) / 10
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= wanted)


def _arrow(step: Step, source: float, target: float, at: _Place) -> Markup:
    left, right = at(step.at_ms), at(step.at_ms + step.took_ms)
    title = tag("title", f"{step.n}. {step.source} to {step.target}: {step.what}")
    if source == target:
        wide = max(right - left, 3)
        return tag(
            "rect",
            title,
            x=number(left),
            y=number(source - 5),
            width=number(wide),
            height=10,
            rx=2,
            class_=f"work {step.nature}",
        )
    tip = -5 if target > source else 5
    shaft = f"M{number(left)} {number(source)}V{number(target)}"
    wings = (f"{number(left + side)} {number(target + tip)}" for side in (-3, 3))
    head = f"M{f'L{number(left)} {number(target)}L'.join(wings)}"
    busy = None
    if step.took_ms > 0:
        busy = tag(
            "rect",
            x=number(left),
            y=number(target - 4),
            width=number(max(right - left, 1.5)),
            height=8,
            rx=2,
            class_=f"work {step.nature}",
        )
    return tag(
        "g", title, busy, tag("path", d=shaft + head, class_="arrow"), class_=f"step {step.nature}"
    )


def _flags(story: Story, at: _Place, floor: float) -> list[Markup]:
    flags = []
    known = (("shop certain", story.shop_knows_ms), ("payer certain", story.payer_knows_ms))
    for index, (words, when) in enumerate(known):
        if when is None:
            continue
        px = at(when)
        flags.append(tag("path", d=f"M{number(px)} {_TOP - 4}V{number(floor)}", class_="certain"))
        ends = px > _WIDE * 0.5
        flags.append(
            tag(
                "text",
                f"{words} {_time(when)}",
                x=number(px + (-5 if ends else 5)),
                y=_TOP - 14 + 13 * index,
                text_anchor="end" if ends else "start",
                class_="flag",
            )
        )
    return flags


def _time(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.1f} ms"


def _steps(story: Story) -> Markup:
    items = []
    for step in story.steps:
        line = join(
            tag("span", f"{step.n}", class_="n"),
            tag("span", _time(step.at_ms), class_="at"),
            tag("span", f"{step.source} → {step.target}", class_="who"),
            tag("span", step.what, class_="what"),
            tag("span", _bytes(step), class_="bytes"),
            tag("span", step.nature, class_=f"nature {step.nature}"),
        )
        if step.detail:
            items.append(tag("details", tag("summary", line), _detail(step), class_="stepline"))
        else:
            items.append(tag("div", line, class_="stepline plain"))
    return tag("details", tag("summary", f"{len(story.steps)} steps"), items, class_="steps")


def _bytes(step: Step) -> str:
    if not step.bytes_sent and not step.bytes_received:
        return ""
    return f"{step.bytes_sent} ↑ {step.bytes_received} ↓ bytes"


def _detail(step: Step) -> Markup:
    rows = [
        tag("tr", tag("th", key, scope="row"), tag("td", _shown(value)))
        for key, value in step.detail.items()
    ]
    return tag("div", tag("table", tag("tbody", rows), class_="detail"), class_="wide")


def _shown(value: object) -> Markup:
    if isinstance(value, dict):
        return tag(
            "table",
            tag(
                "tbody",
                [
                    tag("tr", tag("th", str(key), scope="row"), tag("td", _shown(inner)))
                    for key, inner in value.items()
                ],
            ),
        )
    if isinstance(value, list | tuple):
        return tag("ul", [tag("li", _shown(one)) for one in value])
    if isinstance(value, str | int | float):
        return join(str(value))
    return join(json.dumps(value))
