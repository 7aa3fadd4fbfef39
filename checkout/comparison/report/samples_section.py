"""One sale by each way to pay: its diagram, and its steps to open one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup

from checkout.comparison.report.formatting import span
from checkout.comparison.report.markup import join, tag
from checkout.comparison.report.sequence_diagram import Side, draw_to_scale, end_ms
from checkout.comparison.results import SamplePayment
from checkout.trace import Step


def samples_section(samples: Sequence[SamplePayment]) -> Markup:
    """The payments below each other, all drawn on the same milliseconds."""
    sides = [
        Side(
            key=sample.mode,
            mode=sample.mode,
            title=sample.title,
            steps=sample.steps,
            certain=sample.certain,
        )
        for sample in samples
    ]
    until_ms = max((end_ms(side) for side in sides), default=1.0) or 1.0
    return join(
        tag(
            "section",
            tag("h3", sample.title, tag("small", f" {sample.amount}")),
            tag("div", draw_to_scale(side, until_ms), class_="wide"),
            _step_list(sample.steps),
            class_=f"story {sample.mode}",
        )
        for sample, side in zip(samples, sides, strict=True)
    )


def _step_list(steps: Sequence[Step]) -> Markup:
    items = []
    for step in steps:
        line = join(
            tag("span", f"{step.n}", class_="n"),
            tag("span", span(step.at_ms), class_="at"),
            tag("span", f"{step.source} → {step.target}", class_="who"),
            tag("span", step.what, class_="what"),
            tag("span", _bytes(step), class_="bytes"),
            tag("span", step.nature, class_=f"nature {step.nature}"),
        )
        if step.detail:
            items.append(tag("details", tag("summary", line), _detail(step), class_="stepline"))
        else:
            items.append(tag("div", line, class_="stepline plain"))
    return tag("details", tag("summary", f"{len(steps)} steps"), items, class_="steps")


def _bytes(step: Step) -> str:
    if not step.bytes:
        return ""
    return f"{step.bytes_sent} ↑ {step.bytes_received} ↓ bytes"


def _detail(step: Step) -> Markup:
    rows = [_row(key, value) for key, value in step.detail.items()]
    return tag("div", tag("table", tag("tbody", rows), class_="detail"), class_="wide")


def _row(key: object, value: object) -> Markup:
    return tag("tr", tag("th", str(key), scope="row"), tag("td", _value(value)))


def _value(value: object) -> Markup:
    if isinstance(value, dict):
        rows = [_row(key, inner) for key, inner in value.items()]
        return tag("table", tag("tbody", rows))
    if isinstance(value, list | tuple):
        return tag("ul", [tag("li", _value(item)) for item in value])
    if isinstance(value, str | int | float):
        return join(str(value))
    return join(json.dumps(value))
