"""Two payments as sequence diagrams on one time axis, drawn as SVG without scripts or styles.

The axis is shared and in order but not to scale: a quiet stretch grows with the logarithm of its
length, so that a human's seconds and a chip's milliseconds fit on one page. Ticks tell the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from markupsafe import Markup, escape

from checkout.shop.payments.pay_by_code import Payment
from checkout.shop.payments.payment_times import Certain, certain
from checkout.trace import Step
from checkout.web.formatting import duration

_WIDTH = 1240
_GUTTER = 92
_FEWEST_LANES = 3
_ALONE = 960
_TOP = 52
_ROW = 25
_STRETCH = 11
_LONGEST_STRETCH = 64
_LABEL_CHARACTERS = 34
_SAME_MS = 0.01
_FELT_MS = 0.05

#: Parties from the payer's hand to the bank; others come where they first speak.
_ORDER = (
    "human", "payer", "phone", "browser", "wallet", "card", "reader", "terminal", "counter",
    "shop", "acquirer", "switch", "token service", "operator", "issuer", "bank",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One payment's steps as drawn; `key` names it in links, `mode` gives its colour."""

    key: str
    mode: str
    title: str
    steps: Sequence[Step]
    certain: Certain = field(default_factory=Certain)
    modelled_ms: float = 0.0
    page: str = ""  # where the steps are told that the links lead to; here where empty


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    at_ms: float
    side: int
    kind: str  # sent, back, shop (knows), payer (knows)
    step: Step | None


def parties_of(steps: Sequence[Step]) -> list[str]:
    """Who speaks in `steps`, from the payer to the bank."""
    seen = dict.fromkeys(name for step in steps for name in (step.source, step.target))
    return sorted(seen, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def side_of(payment: Payment, key: str, *, page: str = "") -> Side:
    """One payment as the diagram draws it; `key` names it in links."""
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


def draw(sides: Sequence[Side]) -> Markup:
    """The diagrams of one or two payments beside each other."""
    lines = sorted(
        (line for index, side in enumerate(sides) for line in _lines(index, side)),
        key=lambda line: line.at_ms,
    )
    places, bottom = _places(lines)
    height = bottom + 24
    width = _WIDTH if len(sides) > 1 else _ALONE
    columns = _columns(sides, width - _GUTTER)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(_summary(sides))}">'
    ]
    parts += _ticks(lines, places, width, columns[0])
    for index, side in enumerate(sides):
        left = 0 if index == 0 else columns[0] + _GUTTER
        mine = [(line, y) for line, y in zip(lines, places, strict=True) if line.side == index]
        parts += _side(side, left, columns[index], mine, bottom)
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every text in it went through escape


def _columns(sides: Sequence[Side], width: int) -> list[int]:
    """A side is as wide as it has parties to speak of, so that all lanes are about as far apart."""
    lanes = [max(len(parties_of(side.steps)), _FEWEST_LANES) for side in sides] or [1]
    return [width * count // sum(lanes) for count in lanes]


def _lines(index: int, side: Side) -> list[_Line]:
    lines = []
    # A payment that has just begun has no steps yet.
    for step, following in zip_longest(side.steps, side.steps[1:]):
        lines.append(_Line(at_ms=step.at_ms, side=index, kind="sent", step=step))
        if step.bytes_received and step.source != step.target:
            back = step.end_ms
            if following is not None and abs(following.at_ms - back) < _SAME_MS:
                back = following.at_ms  # times are rounded: an answer comes before what follows
            lines.append(_Line(at_ms=back, side=index, kind="back", step=step))
    for who, at_ms in (("shop", side.certain.shop_ms), ("payer", side.certain.payer_ms)):
        if at_ms is not None:
            lines.append(_Line(at_ms=at_ms, side=index, kind=who, step=None))
    return lines


def _places(lines: Sequence[_Line]) -> tuple[list[float], float]:
    """The height of each line; lines of the two sides may share one, of one side never."""
    places: list[float] = []
    last_of_side: dict[int, float] = {}
    y, before = float(_TOP + 22), 0.0
    for line in lines:
        gap = max(line.at_ms - before, 0.0)
        y += min(_STRETCH * math.log10(1 + gap), _LONGEST_STRETCH)
        own = last_of_side.get(line.side)
        if own is not None:
            y = max(y, own + _ROW)
        places.append(round(y, 1))
        last_of_side[line.side] = y
        before = line.at_ms
    return places, round(y + 16, 1)


def _ticks(lines: Sequence[_Line], places: Sequence[float], width: int, column: int) -> list[str]:
    middle = column + _GUTTER / 2
    drawn: list[str] = [f'<text class="tick" x="{middle}" y="24">time</text>']
    shown, before, said = -100.0, 0.0, ""
    for line, y in zip(lines, places, strict=True):
        if y - shown < _ROW - 1:
            continue
        label = duration(line.at_ms)
        # After a long wait the clock's digits stand still: then the tick says what was added.
        stuck = label == said and line.at_ms - before >= _FELT_MS
        words = f"+{duration(line.at_ms - before)}" if stuck else label
        shown, before, said = y, line.at_ms, label
        drawn.append(f'<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>')
        half = _GUTTER / 2 - 4
        drawn.append(
            f'<rect class="plate" x="{middle - half}" y="{y - 9}" width="{2 * half}" height="18"/>'
            f'<text class="tick" x="{middle}" y="{y + 4}">{escape(words)}</text>'
        )
    return drawn


def _side(
    side: Side, left: float, width: float, lines: Sequence[tuple[_Line, float]], bottom: float
) -> list[str]:
    names = parties_of(side.steps)
    spacing = width / max(len(names), 1)
    xs = {name: round(left + spacing * (n + 0.5), 1) for n, name in enumerate(names)}
    parts = [f'<g class="{escape(side.mode)}">']
    box = min(spacing - 8, 112)
    for name, x in xs.items():
        parts.append(
            f'<line class="life" x1="{x}" x2="{x}" y1="{_TOP - 16}" y2="{bottom}"/>'
            f'<rect class="party" x="{x - box / 2}" y="6" width="{box}" height="28" rx="7"/>'
            f'<text class="name" x="{x}" y="24">{escape(name)}</text>'
        )
    for line, y in lines:
        if line.step is None:
            parts.append(_certain(line.kind, left, width, y, side.modelled_ms))
        else:
            link = f"{side.page}#{side.key}-{line.step.n}"
            parts.append(_arrow(link, line.step, xs, y, back=line.kind == "back"))
    parts.append("</g>")
    return parts


def _arrow(link: str, step: Step, xs: dict[str, float], y: float, *, back: bool) -> str:
    source, target = xs[step.source], xs[step.target]
    if back:
        source, target = target, source
    label = f"{step.bytes_received} B" if back else step.what
    group = f'<g class="{escape(step.nature)}{" back" if back else ""}">'
    if source == target:
        path = f"M{source} {y - 6}h16v12h-10"
        head, middle = _head(source + 4, y + 6, -1), source + 22
    else:
        way = 1 if target > source else -1
        path = f"M{source} {y}H{target - way * 5}"
        head, middle = _head(target, y, way), (source + target) / 2
    words = escape(_short(label, abs(target - source)))
    return (
        f'{group}<path class="sent" d="{path}"/>{head}'
        f'<a href="{escape(link)}"><title>{escape(step.what)}</title>'
        f'<text x="{middle}" y="{y - 5}">{words}</text></a></g>'
    )


def _head(x: float, y: float, way: int) -> str:
    return f'<path class="head" d="M{x} {y}l{-7 * way} -3.500v7z"/>'


def _certain(who: str, left: float, width: float, y: float, modelled_ms: float) -> str:
    right = left + width
    more = f", {duration(modelled_ms)} later with the modelled time" if modelled_ms else ""
    return (
        f'<line class="certain {who}" x1="{left + 8}" x2="{right - 8}" y1="{y}" y2="{y}"/>'
        f'<text class="certain-text" x="{left + 12}" y="{y - 6}">'
        f"the {who} is certain of the money{more}</text>"
    )


def _short(label: str, room: float) -> str:
    # About 6.2 units to a character; a label may lean over the neighbouring gap.
    most = max(int(room / 6.2), 12) if room else _LABEL_CHARACTERS
    most = min(max(most, 16), 60)
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"


def _summary(sides: Sequence[Side]) -> str:
    told = [f"{side.title}: {len(side.steps)} messages" for side in sides]
    return "Sequence diagrams. " + "; ".join(told) + ". The lists below hold the same."
