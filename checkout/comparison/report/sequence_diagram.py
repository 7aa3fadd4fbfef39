"""Sequence diagrams of payments as SVG without scripts or styles, in two layouts.

`draw_in_rows` lays one or two payments beside each other, a row for each message; `draw_to_scale`
draws one payment along an axis of milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from markupsafe import Markup

from checkout.comparison.report.formatting import duration, span
from checkout.comparison.report.markup import join, number, tag
from checkout.shop.payments.payment_times import Certain, certain
from checkout.shop.payments.payments import Payment
from checkout.trace import Step

#: Parties from the payer's hand to the bank; all others stand behind them.
_ORDER = (
    "human", "payer", "phone", "browser", "wallet", "card", "reader", "terminal", "counter",
    "shop", "acquirer", "switch", "token service", "operator", "issuer", "bank",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One payment as it is drawn.

    `mode` is the class that gives its colour. `modelled_ms` is the time that a model added. A
    message links to `page`, or to the same page where `page` is empty, at the anchor `key`-N.
    """

    key: str
    mode: str
    title: str
    steps: Sequence[Step]
    certain: Certain = field(default_factory=Certain)
    modelled_ms: float = 0.0
    page: str = ""


def side_of(payment: Payment, key: str, *, page: str = "") -> Side:
    """A recorded payment as it is drawn."""
    mode = str(payment.mode)
    return Side(
        key=key,
        mode=mode,
        title="By code" if mode == "qr" else "By tap",
        steps=payment.steps,
        certain=certain(payment),
        modelled_ms=payment.modelled_ms,
        page=page,
    )


def parties_of(steps: Sequence[Step]) -> list[str]:
    """Who sends or receives in `steps`, from the payer to the bank."""
    names = dict.fromkeys(name for step in steps for name in (step.source, step.target))
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


# -- in rows: parties side by side, time downwards ------------------------------------------------

_WIDTH, _WIDTH_OF_ONE, _TIME_COLUMN = 1240, 960, 92
_HEAD = 52
_ROW = 25
_FEWEST_LANES = 3
_SAME_MS = 0.01  # recorded times are rounded
_VISIBLE_MS = 0.05  # less than this does not show in a time as it is written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """What stands at one moment: a message, its answer, or when a party became certain."""

    at_ms: float
    side: int
    kind: str  # sent, back, shop (is certain), payer (is certain)
    step: Step | None


def draw_in_rows(sides: Sequence[Side]) -> Markup:
    """One or two payments, a row for each message.

    The time axis is shared and in order but not to scale: a quiet stretch grows with the logarithm
    of its length, so that a person's seconds and a chip's milliseconds fit on one page.
    """
    lines = sorted(
        (line for index, side in enumerate(sides) for line in _lines(index, side)),
        key=lambda line: line.at_ms,
    )
    heights, bottom = _heights(lines)
    width = _WIDTH if len(sides) > 1 else _WIDTH_OF_ONE
    columns = _columns(sides, width - _TIME_COLUMN)
    parts = _times(lines, heights, width, columns[0])
    for index, side in enumerate(sides):
        left = 0 if index == 0 else columns[0] + _TIME_COLUMN
        own = [(line, y) for line, y in zip(lines, heights, strict=True) if line.side == index]
        parts.append(_side(side, left, columns[index], own, bottom))
    counted = "; ".join(f"{side.title}: {len(side.steps)} messages" for side in sides)
    return tag(
        "svg",
        parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {number(bottom + 24)}",
        role="img",
        aria_label=f"Sequence diagrams. {counted}. The lists below hold the same.",
    )


def _columns(sides: Sequence[Side], width: int) -> list[int]:
    """The width of each side, in proportion to its parties, so that all lanes are equally wide."""
    lanes = [max(len(parties_of(side.steps)), _FEWEST_LANES) for side in sides] or [1]
    return [width * count // sum(lanes) for count in lanes]


def _lines(index: int, side: Side) -> list[_Line]:
    lines = []
    # A payment that has just begun has no steps yet.
    for step, following in zip_longest(side.steps, side.steps[1:]):
        lines.append(_Line(at_ms=step.at_ms, side=index, kind="sent", step=step))
        if step.bytes_received and step.source != step.target:
            back_ms = step.end_ms
            if following is not None and abs(following.at_ms - back_ms) < _SAME_MS:
                back_ms = following.at_ms  # an answer stands before the message that follows it
            lines.append(_Line(at_ms=back_ms, side=index, kind="back", step=step))
    for party, at_ms in (("shop", side.certain.shop_ms), ("payer", side.certain.payer_ms)):
        if at_ms is not None:
            lines.append(_Line(at_ms=at_ms, side=index, kind=party, step=None))
    return lines


def _heights(lines: Sequence[_Line]) -> tuple[list[float], float]:
    """The height of each line, and of the bottom; only lines of different sides share a height."""
    heights: list[float] = []
    last_of_side: dict[int, float] = {}
    y, before_ms = float(_HEAD + 22), 0.0
    for line in lines:
        quiet_ms = max(line.at_ms - before_ms, 0.0)
        y += min(11 * math.log10(1 + quiet_ms), 64)
        own = last_of_side.get(line.side)
        if own is not None:
            y = max(y, own + _ROW)
        heights.append(round(y, 1))
        last_of_side[line.side] = y
        before_ms = line.at_ms
    return heights, round(y + 16, 1)


def _times(
    lines: Sequence[_Line], heights: Sequence[float], width: int, column: int
) -> list[Markup]:
    """The column of times between the two sides."""
    middle, half = column + _TIME_COLUMN / 2, _TIME_COLUMN / 2 - 4
    drawn = [tag("text", "time", class_="tick", x=number(middle), y=24)]
    last_y, before_ms, last_label = -100.0, 0.0, ""
    for line, y in zip(lines, heights, strict=True):
        if y - last_y < _ROW - 1:
            continue
        label = duration(line.at_ms)
        passed_ms = line.at_ms - before_ms
        # After a long wait the written time may not change: then show how much was added.
        unchanged = label == last_label and passed_ms >= _VISIBLE_MS
        words = f"+{duration(passed_ms)}" if unchanged else label
        last_y, before_ms, last_label = y, line.at_ms, label
        drawn += [
            tag("line", class_="grid", x1=0, x2=width, y1=number(y), y2=number(y)),
            tag(
                "rect",
                class_="plate",
                x=number(middle - half),
                y=number(y - 9),
                width=number(2 * half),
                height=18,
            ),
            tag("text", words, class_="tick", x=number(middle), y=number(y + 4)),
        ]
    return drawn


def _side(
    side: Side, left: float, width: float, lines: Sequence[tuple[_Line, float]], bottom: float
) -> Markup:
    names = parties_of(side.steps)
    spacing = width / max(len(names), 1)
    xs = {name: left + spacing * (n + 0.5) for n, name in enumerate(names)}
    box = min(spacing - 8, 112)
    parts = []
    for name, x in xs.items():
        at = number(x)
        parts += [
            tag("line", class_="life", x1=at, x2=at, y1=_HEAD - 16, y2=number(bottom)),
            tag(
                "rect",
                class_="party",
                x=number(x - box / 2),
                y=6,
                width=number(box),
                height=28,
                rx=7,
            ),
            tag("text", name, class_="name", x=at, y=24),
        ]
    for line, y in lines:
        if line.step is None:
            parts.append(_certain(line.kind, left, width, y, side.modelled_ms))
        else:
            link = f"{side.page}#{side.key}-{line.step.n}"
            parts.append(_message(link, line.step, xs, y, back=line.kind == "back"))
    return tag("g", parts, class_=side.mode)


def _message(link: str, step: Step, xs: dict[str, float], y: float, *, back: bool) -> Markup:
    source, target = xs[step.source], xs[step.target]
    if back:
        source, target = target, source
    label = f"{step.bytes_received} B" if back else step.what
    if source == target:
        path = f"M{number(source)} {number(y - 6)}h16v12h-10"
        head, middle = _head(source + 4, y + 6, -1), source + 22
    else:
        way = 1 if target > source else -1
        path = f"M{number(source)} {number(y)}H{number(target - way * 5)}"
        head, middle = _head(target, y, way), (source + target) / 2
    words = tag("text", _shortened(label, abs(target - source)), x=number(middle), y=number(y - 5))
    return tag(
        "g",
        tag("path", class_="sent", d=path),
        head,
        tag("a", tag("title", step.what), words, href=link),
        class_=f"{step.nature}{' back' if back else ''}",
    )


def _head(x: float, y: float, way: int) -> Markup:
    return tag("path", class_="head", d=f"M{number(x)} {number(y)}l{-7 * way} -3.5v7z")


def _certain(party: str, left: float, width: float, y: float, modelled_ms: float) -> Markup:
    more = f", {duration(modelled_ms)} later with the modelled time" if modelled_ms else ""
    words = f"the {party} is certain of the money{more}"
    return join(
        tag(
            "line",
            class_=f"certain {party}",
            x1=number(left + 8),
            x2=number(left + width - 8),
            y1=number(y),
            y2=number(y),
        ),
        tag("text", words, class_="certain-text", x=number(left + 12), y=number(y - 6)),
    )


def _shortened(label: str, room: float) -> str:
    # A character is about 6.2 units wide; a label may reach into the neighbouring gap.
    longest = min(max(int(room / 6.2), 16), 60) if room else 34
    return label if len(label) <= longest else label[: longest - 1].rstrip() + "…"


# -- to scale: parties below each other, time to the right ----------------------------------------

_SCALE_WIDTH = 960
_LEFT, _RIGHT, _TOP = 118, 24, 30
_LANE = 34

_X = Callable[[float], float]  # the place of a moment on the axis of milliseconds


def end_ms(side: Side) -> float:
    """When the last measured step was over and both parties were certain."""
    ends = [step.end_ms for step in _measured(side)]
    known = [at for at in (side.certain.shop_ms, side.certain.payer_ms) if at is not None]
    return max([*ends, *known], default=0.0)


def draw_to_scale(side: Side, until_ms: float) -> Markup:
    """One payment on an axis from 0 to `until_ms`, so that several can share an axis.

    An arrow leads from lane to lane at the time of the message; a bar shows how long the answer
    took; dashed lines mark when shop and payer were certain of the money.
    """
    steps = _measured(side)
    parties = parties_of(steps)
    rows = {party: _TOP + 26 + index * _LANE for index, party in enumerate(parties)}
    tall = _TOP + 26 + len(parties) * _LANE + 26
    floor = tall - 30
    room = _SCALE_WIDTH - _LEFT - _RIGHT

    def x(ms: float) -> float:
        return _LEFT + ms / until_ms * room

    lanes = [
        join(
            tag("text", party, x=_LEFT - 10, y=row + 4, text_anchor="end", class_="lane"),
            tag("path", d=f"M{_LEFT} {row}H{_SCALE_WIDTH - _RIGHT}", class_="lifeline"),
        )
        for party, row in rows.items()
    ]
    return tag(
        "svg",
        tag("title", f"{side.title}: {len(steps)} steps between {len(parties)} parties"),
        _axis(until_ms, x, floor),
        lanes,
        [_arrow(step, rows[step.source], rows[step.target], x) for step in steps],
        _flags(side.certain, x, floor),
        viewBox=f"0 0 {_SCALE_WIDTH} {tall}",
        class_="sequence",
        role="img",
    )


def _measured(side: Side) -> list[Step]:
    # What a model added took no time here, and so has no place on the axis.
    return [step for step in side.steps if step.nature != "modelled"]


def _axis(until_ms: float, x: _X, floor: float) -> list[Markup]:
    step_ms = _round_step(until_ms / 6)
    parts = []
    for count in range(int(until_ms / step_ms) + 1):
        value = count * step_ms
        words = f"{value / 1000:g} s" if step_ms >= 1000 else f"{value:g} ms"
        at, y = number(x(value)), number(floor + 18)
        parts += [
            tag("path", d=f"M{at} {_TOP}V{number(floor)}", class_="grid"),
            tag("text", words, x=at, y=y, text_anchor="middle", class_="tick"),
        ]
    return parts


def _round_step(wanted: float) -> float:
    size = 10.0 ** len(str(int(max(wanted, 1)))) / 10
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= wanted)


def _arrow(step: Step, source: float, target: float, x: _X) -> Markup:
    left, right = x(step.at_ms), x(step.end_ms)
    title = tag("title", f"{step.n}. {step.source} to {step.target}: {step.what}")
    if source == target:
        return _bar(step, left, source - 5, max(right - left, 3), 10, title)
    bar = _bar(step, left, target - 4, max(right - left, 1.5), 8) if step.took_ms > 0 else None
    tip = -5 if target > source else 5
    wings = (f"{number(left + side)} {number(target + tip)}" for side in (-3, 3))
    shaft = f"M{number(left)} {number(source)}V{number(target)}"
    head = f"M{f'L{number(left)} {number(target)}L'.join(wings)}"
    arrow = tag("path", d=shaft + head, class_="arrow")
    return tag("g", title, bar, arrow, class_=f"step {step.nature}")


def _bar(
    step: Step, x: float, y: float, width: float, height: float, title: Markup | None = None
) -> Markup:
    return tag(
        "rect",
        title,
        x=number(x),
        y=number(y),
        width=number(width),
        height=number(height),
        rx=2,
        class_=f"work {step.nature}",
    )


def _flags(known: Certain, x: _X, floor: float) -> list[Markup]:
    flags = []
    moments = (("shop certain", known.shop_ms), ("payer certain", known.payer_ms))
    for index, (words, at_ms) in enumerate(moments):
        if at_ms is None:
            continue
        at = x(at_ms)
        to_the_left = at > _SCALE_WIDTH * 0.5
        flags += [
            tag("path", d=f"M{number(at)} {_TOP - 4}V{number(floor)}", class_="certain"),
            tag(
                "text",
                f"{words} {span(at_ms)}",
                x=number(at + (-5 if to_the_left else 5)),
                y=_TOP - 14 + 13 * index,
                text_anchor="end" if to_the_left else "start",
                class_="flag",
            ),
        ]
    return flags
