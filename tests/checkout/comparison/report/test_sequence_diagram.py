"""Sequence diagrams: the parties' order, the column of times, the axis to scale."""

from __future__ import annotations

import re

from checkout.comparison.report.sequence_diagram import (
    Side,
    draw_in_rows,
    draw_to_scale,
    end_ms,
    parties_of,
)
from checkout.shop.payments.payment_times import Certain
from checkout.trace import Step


def step(n: int, at_ms: float, **fields: object) -> Step:
    plain = Step(n=n, at_ms=at_ms, source="phone", target="shop", what=f"step {n}", bytes_sent=1)
    return plain.changed(**fields)


def side(*steps: Step, **fields: object) -> Side:
    return Side(key="left", mode="qr", title="By code", steps=steps, **fields)  # type: ignore[arg-type]


def test_after_a_long_wait_the_ticks_say_what_was_added() -> None:
    def step(n: int, at_ms: float) -> Step:
        return Step(n=n, at_ms=at_ms, source="phone", target="shop", what=f"step {n}", bytes_sent=1)

    drawn = draw_in_rows([side(step(1, 125_000.0), step(2, 125_012.5))])
    times = re.findall(r'class="tick"[^>]*>([^<]+)<', drawn)
    assert times == ["time", "2 min 5 s", "+12.5 ms"]


def test_both_layouts_take_the_parties_in_one_order() -> None:
    steps = (
        step(1, 0.0, source="shop", target="switch"),
        step(2, 1.0, source="phone", target="shop"),
    )
    assert parties_of(steps) == ["phone", "shop", "switch"]
    rows = re.findall(r'class="name"[^>]*>([^<]+)<', draw_in_rows([side(*steps)]))
    lanes = re.findall(r'class="lane">([^<]+)<', draw_to_scale(side(*steps), 10.0))
    assert rows == lanes == ["phone", "shop", "switch"]


def test_a_modelled_step_has_no_place_on_the_axis_to_scale() -> None:
    modelled = step(2, 5.0, took_ms=400.0, nature="modelled", what="air and chip")
    both = side(step(1, 0.0, took_ms=9.0), modelled, certain=Certain(shop_ms=12.0))
    assert end_ms(both) == 12.0
    assert "air and chip" not in draw_to_scale(both, end_ms(both))
    assert "air and chip" in draw_in_rows([both])


def test_what_a_step_says_stays_text_in_both_layouts() -> None:
    hostile = side(step(1, 0.0, what="<script>&"))
    for drawn in (draw_in_rows([hostile]), draw_to_scale(hostile, 1.0)):
        assert "<script" not in drawn
        assert "&lt;script&gt;&amp;" in drawn
