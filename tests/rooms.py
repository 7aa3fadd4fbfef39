"""The rooms of the project, read from its imports; run it to draw `tests/rooms.svg` anew."""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from functools import cache
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).with_name("rooms.svg")

#: What each room is for, in the words of the picture.
PURPOSES = {
    "commands": "the command line",
    "processes": "supervisor, terminal process, web workers",
    "web": "counter, payer's pages, back office, API",
    "comparison": "the same sales by code and by tap, side by side",
    "demo": "payers, their cards, an emulated reader",
    "shop": "orders, payments, the till, webhooks",
    "acceptance": "qr and nfc: what a payer shows becomes one request",
    "clearing": "ISO 8583 switch, issuer, ledger, settlement",
    "devices": "readers, kernels, codecs; emulated card and phone",
}
#: Rooms of clearing in the picture, as a payment goes down through them.
CLEARING = {
    "client": "the shop's end of the line",
    "switch": "server, sessions, routing",
    "pipeline": "a busy switch: decode ahead",
    "back_office": "operations, disputes",
    "settlement": "close, net, files",
    "authorisation": "purchase to reversal",
    "tokens": "payment tokens",
    "issuing": "accounts, decision",
    "store": "tables, writing",
    "iso8583": "messages as bytes",
    "hsm": "keys, cryptograms, PINs",
    "ledger": "double entry",
    "scheme": "rules with their dates",
}

Graph = dict[str, set[str]]


@cache
def module_imports() -> Graph:
    """Each module of the project and the modules that it imports, for type checking too."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph("checkout", "devices", cache_dir=None)
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def room_of(module: str, container: str) -> str | None:
    """The room directly under `container` that holds the module; None outside of it."""
    if not module.startswith(container + "."):
        return None
    return module.removeprefix(container + ".").split(".")[0]


def room_imports(container: str) -> Graph:
    """The rooms directly under `container`, with `devices` as one, and what each imports."""
    found: Graph = defaultdict(set)
    for module, imported in module_imports().items():
        here = _room(module, container)
        if here is None:
            continue
        found[here] |= {
            there
            for other in imported
            if (there := _room(other, container)) is not None and there != here
        }
    return dict(found)


def _room(module: str, container: str) -> str | None:
    if container == "checkout" and module.split(".")[0] == "devices":
        return "devices"
    return room_of(module, container)


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components)."""
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in graph[node]:
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        for node in graph:
            if node not in number:
                visit(node)
    finally:
        sys.setrecursionlimit(limit)
    return found


def longest_chain(graph: Graph) -> list[str]:
    """The longest way down through the rooms; the graph has no circle."""

    @cache
    def below(node: str) -> tuple[str, ...]:
        ways = [below(other) for other in graph.get(node, set())]
        return (node, *max(ways, key=len, default=()))

    return list(max((below(node) for node in graph), key=len))


def modules_in_folders() -> dict[str, int]:
    """How many modules lie directly in each folder, `__init__.py` not counted."""
    counted: dict[str, int] = defaultdict(int)
    for package in ("checkout", "devices"):
        for file in (ROOT / package).rglob("*.py"):
            if file.name != "__init__.py":
                counted[file.parent.relative_to(ROOT).as_posix()] += 1
    return dict(counted)


def declared_layers(container: str) -> list[list[str]]:
    """The floors that pyproject.toml declares, from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers" and contract["containers"] == [container]:
            return [
                [part.strip(" ()") for part in line.replace(":", "|").split("|")]
                for line in contract["layers"]
            ]
    raise LookupError(container)


def without_shortcuts(graph: Graph) -> Graph:
    """Only the arrows that no longer way stands for (transitive reduction)."""

    @cache
    def reach(node: str) -> frozenset[str]:
        near = graph.get(node, set())
        return frozenset(near).union(*(reach(other) for other in near))

    return {
        node: {
            other for other in near if not any(other in reach(third) for third in near - {other})
        }
        for node, near in graph.items()
    }


def picture() -> str:
    """The rooms of `checkout` on their floors, and those of `clearing` beside them, as SVG."""
    drawn = _Drawing()
    drawn.text(
        24,
        34,
        "A room imports what its arrows lead to; imports that a longer way covers are left out",
        "title",
    )
    left = _column(drawn, "checkout", PURPOSES, x=24, top=60, width=430, step=62)
    right = _column(drawn, "checkout.clearing", CLEARING, x=560, top=60, width=350, step=62)
    return drawn.svg(width=1010, height=max(left, right) + 24)


def _column(
    drawn: _Drawing,
    container: str,
    purposes: dict[str, str],
    *,
    x: int,
    top: int,
    width: int,
    step: int,
) -> int:
    floors = [room for floor in declared_layers(container) for room in floor]
    if container == "checkout":
        floors.append("devices")
    rooms = [room for room in floors if room in purposes]
    graph = room_imports(container)
    shown = {
        room: graph.get(room, set()) & set(rooms[index + 1 :]) for index, room in enumerate(rooms)
    }
    arrows = without_shortcuts(shown)
    height = step - 16
    place = {room: top + 12 + index * step for index, room in enumerate(rooms)}
    for room in rooms:
        y = place[room]
        drawn.box(x, y, width, height)
        name = room if room == "devices" else f"{container.split('.')[-1]}/{room}"
        drawn.text(x + 12, y + 20, name, "name")
        drawn.text(x + 12, y + 38, purposes[room], "purpose")
    lane = 0
    for room in rooms:
        for other in sorted(arrows[room], key=place.__getitem__):
            if rooms.index(other) == rooms.index(room) + 1:
                drawn.down(x + width // 2, place[room] + height, place[other])
            else:
                lane += 1
                drawn.around(
                    x + width, place[room] + height - 8, place[other] + 14, 10 + 9 * (lane % 8)
                )
    return place[rooms[-1]] + height


class _Drawing:
    """Collects shapes; colours follow the reader's light or dark mode."""

    def __init__(self) -> None:
        self._shapes: list[str] = []

    def box(self, x: int, y: int, width: int, height: int) -> None:
        self._shapes.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="room"/>'
        )

    def text(self, x: int, y: int, text: str, style: str) -> None:
        self._shapes.append(f'<text x="{x}" y="{y}" class="{style}">{escape(text)}</text>')

    def down(self, x: int, y: int, to: int) -> None:
        self._shapes.append(f'<path d="M{x} {y}V{to - 2}" class="arrow"/>')

    def around(self, x: int, y: int, to: int, out: int) -> None:
        self._shapes.append(f'<path d="M{x} {y}h{out}V{to}h{2 - out}" class="arrow"/>')

    def svg(self, *, width: int, height: int) -> str:
        style = (
            ".sheet{fill:#fff}text{font:14px system-ui,sans-serif;fill:#1c2733}"
            ".title{font-weight:600}"
            ".name{font-weight:600}.purpose{font-size:12px;fill:#52606d}"
            ".room{fill:#f4f6f8;stroke:#9aa7b4}.arrow{fill:none;stroke:#52708f;"
            "stroke-width:1.3;marker-end:url(#tip)}#tip path{fill:#52708f}"
            "@media(prefers-color-scheme:dark){text{fill:#e6ebf0}.purpose{fill:#a9b5c1}"
            ".room{fill:#1d262f;stroke:#5b6875}.arrow{stroke:#8fb0d0}#tip path{fill:#8fb0d0}"
            ".sheet{fill:#12181e}}"
        )
        shapes = "\n".join(self._shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" '
            f'aria-label="The rooms of the project and what they import">\n'
            f"<style>{style}</style>\n"
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>\n'
            f'<rect width="{width}" height="{height}" class="sheet"/>\n{shapes}\n</svg>\n'
        )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"{PICTURE}: {' > '.join(longest_chain(room_imports('checkout')))}")
