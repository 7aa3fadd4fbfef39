"""HTML and SVG built from elements, so that all text that is not markup is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from markupsafe import Markup

_VOID = frozenset({"br", "hr", "img", "meta", "link", "wbr"})

Child = str | int | float | Markup | None | Iterable["Child"]


def tag(element: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """One element; texts and attribute values are escaped, None and False are left out.

    A trailing underscore lets an attribute have the name of a Python keyword (``class_``); other
    underscores become hyphens.
    """
    opened = "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if element in _VOID:
        return _markup(f"<{element}{opened}>")
    return _markup(f"<{element}{opened}>{join(*children)}</{element}>")


def join(*children: Child) -> Markup:
    """Children one after the other; a child that is not markup is escaped."""
    return _markup("".join(_flat(children)))


def number(value: float, places: int = 1) -> str:
    """A coordinate: short, and never in exponent form."""
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield str(child)
        elif isinstance(child, str | int | float):
            yield escape(str(child), quote=True)
        else:
            yield from _flat(child)


def _attribute(key: str, value: str | int | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'


def _markup(text: str) -> Markup:
    return Markup(text)  # noqa: S704 - its parts are element names, or were escaped
