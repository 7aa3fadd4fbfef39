"""From a code drawn as SVG to a picture of pixels.

It reads what programs that write codes use: rectangles, and paths of horizontal and vertical
lines. Everything else in SVG is ignored.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from PIL import Image, ImageDraw

_LARGEST_FILE = 4 * 1024 * 1024
_MOST_ACROSS = 4_000
_USUAL_ACROSS = 1_000
_MOST_PATH_STEPS = 200_000
_COMMAND = re.compile(r"([MmLlHhVvZz])([^A-Za-z]*)")
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
_BLACK = frozenset({"black", "#000", "#000000"})
_Box = tuple[float, float, float, float]


class DrawingError(ValueError):
    """An SVG that is broken, too large, or has nothing that is read here."""


def is_svg(content: bytes) -> bool:
    """Whether `content` begins as an SVG file does."""
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in content[:2048])


def rasterise(content: bytes) -> Image.Image:
    """The drawing in black on white, about a thousand pixels across; DrawingError if unfit."""
    if len(content) > _LARGEST_FILE:
        raise DrawingError(f"expected at most {_LARGEST_FILE} bytes of SVG, got {len(content)}")
    drawing = _Drawing()
    parser = expat.ParserCreate()
    parser.StartElementHandler = drawing.element
    parser.EntityDeclHandler = drawing.entity
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        if isinstance(error, DrawingError):
            raise
        raise DrawingError("the SVG is broken") from None
    return drawing.image()


class _Drawing:
    """Collects the view box and the black rectangles while the SVG is parsed."""

    def __init__(self) -> None:
        self._box: _Box | None = None
        self._dark: list[_Box] = []

    def entity(self, *_: object) -> None:
        raise DrawingError("expected an SVG that defines no entities")

    def element(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "svg" and self._box is None:
            self._box = _view(attributes)
        elif name == "rect" and attributes.get("fill", "#000").lower() in _BLACK:
            x, y, width, height = (
                _number(attributes.get(each, "0")) for each in ("x", "y", "width", "height")
            )
            self._dark.append((x, y, x + width, y + height))
        elif name == "path":
            stroked = attributes.get("stroke", "none").lower() in _BLACK
            width = _number(attributes.get("stroke-width", "1")) if stroked else 0.0
            self._dark.extend(_path_boxes(attributes.get("d", ""), width))

    def image(self) -> Image.Image:
        if self._box is None or not self._dark:
            raise DrawingError("expected an SVG with rectangles or straight strokes")
        left, top, width, height = self._box
        # A whole number of pixels to a unit keeps the modules of a code equally wide.
        scale = max(1.0, _USUAL_ACROSS // max(width, height))
        scale = min(scale, _MOST_ACROSS / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = Image.new("L", size, 255)
        pen = ImageDraw.Draw(image)
        for x1, y1, x2, y2 in self._dark:
            box = [
                (x1 - left) * scale,
                (y1 - top) * scale,
                (x2 - left) * scale - 1,
                (y2 - top) * scale - 1,
            ]
            if box[0] <= box[2] and box[1] <= box[3]:
                pen.rectangle([round(each) for each in box], fill=0)
        return image


def _view(attributes: dict[str, str]) -> _Box:
    numbers = [float(each) for each in _NUMBER.findall(attributes.get("viewBox", ""))]
    if len(numbers) != 4:
        numbers = [0.0, 0.0, *(_number(attributes.get(each, "")) for each in ("width", "height"))]
    if not all(0 < each <= 100_000 for each in numbers[2:]):
        raise DrawingError("expected an SVG with a viewBox or a size")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _number(text: str) -> float:
    match = _NUMBER.match(text.strip())
    return float(match[0]) if match else 0.0


def _path_boxes(path: str, stroke: float) -> list[_Box]:
    """The boxes of a path: of each horizontal stroke, or the bounds of each filled part.

    `stroke` is the width of the strokes, 0 where the path is filled.
    """
    boxes: list[_Box] = []
    x = y = start_x = start_y = 0.0
    corners: list[tuple[float, float]] = []
    steps = 0
    for command, rest in _COMMAND.findall(path):
        numbers = [float(each) for each in _NUMBER.findall(rest)]
        steps += 1 + len(numbers)
        if steps > _MOST_PATH_STEPS:
            raise DrawingError("expected an SVG with fewer strokes")
        relative = command.islower()
        kind = command.upper()
        if kind == "Z":
            x, y = start_x, start_y
        elif kind in "HV":
            for number in numbers:
                start = x
                if kind == "H":
                    x = x + number if relative else number
                else:
                    y = y + number if relative else number
                if stroke and kind == "H":
                    low, high = sorted((start, x))
                    boxes.append((low, y - stroke / 2, high, y + stroke / 2))
                corners.append((x, y))
        else:
            for dx, dy in zip(numbers[::2], numbers[1::2], strict=False):
                x, y = (x + dx, y + dy) if relative else (dx, dy)
                if kind == "M":
                    boxes.extend(_filled_box(corners, stroke))
                    corners = []
                    start_x, start_y = x, y
                corners.append((x, y))
    return boxes + _filled_box(corners, stroke)


def _filled_box(corners: list[tuple[float, float]], stroke: float) -> list[_Box]:
    if stroke or len(corners) < 3:
        return []
    xs, ys = zip(*corners, strict=True)
    return [(min(xs), min(ys), max(xs), max(ys))]
