"""Charts as inline SVG and HTML; colours are classes, so that light, dark and print share them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from checkout.comparison.report.markup import number, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve: points in data units, and the class that colours it."""

    title: str
    kind: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis: its range, ticks and how a tick reads."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.0


_WIDE, _TALL = 440, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 14, 44


def plot(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    label: str,
    areas: Sequence[tuple[Sequence[tuple[float, float]], str, str]] = (),
    marks: Sequence[tuple[float, float, str]] = (),
) -> Markup:
    """Curves over two axes; `areas` are shapes with title and class, `marks` dots with words."""

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return (
            _LEFT + x.place(point[0]) * (_WIDE - _LEFT - _RIGHT),
            _TALL - _BOTTOM - y.place(point[1]) * (_TALL - _TOP - _BOTTOM),
        )

    def path(points: Sequence[tuple[float, float]]) -> str:
        placed = [at(point) for point in points]
        return "M" + "L".join(f"{number(px)} {number(py)}" for px, py in placed)

    parts: list[Markup] = []
    for shape, _, kind in areas:
        parts.append(tag("path", d=path(shape) + "Z", class_=f"area {kind}"))
    parts.extend(_grid(x, y))
    for line in lines:
        if len(line.points) > 1:
            kind = f"curve {line.kind}{' dashed' if line.dashed else ''}"
            parts.append(tag("path", tag("title", line.title), d=path(line.points), class_=kind))
    for mx, my, words in marks:
        parts.extend(_mark(*at((mx, my)), words))
    picture = tag(
        "svg", tag("title", label), parts, viewBox=f"0 0 {_WIDE} {_TALL}", class_="plot", role="img"
    )
    named = [(title, f"{kind} area") for _, title, kind in areas]
    named += [(line.title, f"{line.kind}{' dashed' if line.dashed else ''}") for line in lines]
    return tag("figure", picture, legend(named))


def _mark(px: float, py: float, words: str) -> tuple[Markup, Markup]:
    """A dot and its words, which stand to the left of a dot far to the right."""
    to_the_left = px > _WIDE * 0.6
    return (
        tag("circle", cx=number(px), cy=number(py), r=4, class_="mark"),
        tag(
            "text",
            words,
            x=number(px + (-8 if to_the_left else 8)),
            y=number(max(py - 8, 12)),
            text_anchor="end" if to_the_left else "start",
            class_="word",
        ),
    )


def _grid(x: Axis, y: Axis) -> list[Markup]:
    parts: list[Markup] = []
    floor, right = _TALL - _BOTTOM, _WIDE - _RIGHT
    for value, words in y.ticks:
        py = floor - y.place(value) * (floor - _TOP)
        parts.append(tag("path", d=f"M{_LEFT} {number(py)}H{right}", class_="grid"))
        parts.append(
            tag("text", words, x=_LEFT - 6, y=number(py + 4), text_anchor="end", class_="tick")
        )
    for value, words in x.ticks:
        px = _LEFT + x.place(value) * (right - _LEFT)
        parts.append(tag("path", d=f"M{number(px)} {floor}v4", class_="grid"))
        parts.append(
            tag("text", words, x=number(px), y=floor + 17, text_anchor="middle", class_="tick")
        )
    middle = (_LEFT + right) / 2
    parts.append(
        tag("text", x.title, x=middle, y=_TALL - 6, text_anchor="middle", class_="tick name")
    )
    turned = f"rotate(-90 10 {(_TOP + floor) / 2})"
    parts.append(
        tag(
            "text",
            y.title,
            x=10,
            y=(_TOP + floor) / 2,
            text_anchor="middle",
            transform=turned,
            class_="tick name",
        )
    )
    return parts


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """The meaning of each colour."""
    items = [tag("li", tag("i", class_=f"swatch {kind}"), title) for title, kind in entries]
    return tag("ul", items, class_="legend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of a stacked bar."""

    title: str
    kind: str
    value: float
    shown: str


def bars(rows: Mapping[str, Sequence[Part]], *, label: str, full: float | None = None) -> Markup:
    """Stacked bars, one for each row; `full` is the sum that fills the width, else the largest."""
    most = full or max((sum(part.value for part in parts) for parts in rows.values()), default=0)
    drawn = []
    for title, parts in rows.items():
        pieces = [
            tag(
                "span",
                # A piece that is too narrow for its figure has it in its title alone.
                tag("b", part.shown) if part.value > 0.09 * most else None,
                class_=f"piece {part.kind}",
                style=f"width:{100 * part.value / most:.2f}%",
                title=f"{part.title}: {part.shown}",
            )
            for part in parts
            if part.value > 0
        ]
        drawn.append(tag("div", tag("span", title, class_="of"), tag("span", pieces, class_="bar")))
    kinds: dict[str, str] = {}
    for parts in rows.values():
        kinds |= {part.title: part.kind for part in parts if part.value > 0}
    return tag(
        "figure",
        tag("div", drawn, class_="bars", role="img", aria_label=label),
        legend(list(kinds.items())),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """One bar of a tornado: a figure lowered and raised, and where that takes the result."""

    title: str
    low_words: str
    high_words: str
    low: float
    high: float


def tornado(
    swings: Sequence[Swing], centre: float, *, label: str, show: Callable[[float], str]
) -> Markup:
    """How far each figure moves the result from `centre`; `show` gives a value's text."""
    edges = [edge for swing in swings for edge in (swing.low, swing.high)] + [centre, 0.0]
    low, high = min(edges), max(edges)
    margin = 0.04 * (high - low or 1)
    axis = Axis(low=low - margin, high=high + margin, ticks=(), title="")
    rows = []
    for swing in swings:
        ends = sorted((swing.low, swing.high))
        left, right = axis.place(ends[0]) * 100, axis.place(ends[1]) * 100
        words = (
            f"{swing.low_words} gives {show(swing.low)}, "
            f"{swing.high_words} gives {show(swing.high)}"
        )
        rows.append(
            tag(
                "div",
                tag("span", swing.title, class_="of"),
                tag(
                    "span",
                    tag(
                        "i",
                        class_="swing",
                        style=f"left:{left:.2f}%;width:{max(right - left, 0.4):.2f}%",
                    ),
                    tag("i", class_="zero", style=f"left:{axis.place(0) * 100:.2f}%"),
                    tag("i", class_="centre", style=f"left:{axis.place(centre) * 100:.2f}%"),
                    class_="track",
                    title=words,
                ),
                tag("span", f"{show(swing.low)} to {show(swing.high)}", class_="ends"),
            )
        )
    return tag("figure", tag("div", rows, class_="tornado", role="img", aria_label=label))
