"""Words as PDF paths: the outlines of their glyphs, so that a viewer needs no font."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fontTools.pens.basePen import BasePen

from devices.qr.symbol.fonts import composed, font_for, glyph_names, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A line of words: PDF path operators, starting at the left end of the baseline.

    `path` and `width` are in units of which `units_per_em` make the size of the font.
    """

    path: str
    width: int
    units_per_em: int


@lru_cache(maxsize=32)
def outline(text: str) -> Outline:
    """The outlines of `text`; FontError as for `font_for`."""
    font = font_for(text)
    names = glyph_names(font)
    with opened(font) as found:
        glyphs = found.getGlyphSet()
        pen, width = _PdfPen(glyphs), 0
        for character in composed(text):
            glyph = glyphs[names.get(ord(character), ".notdef")]
            if not character.isspace():
                pen.left = width
                glyph.draw(pen)
            width += round(glyph.width)
        return Outline(
            path=" ".join(pen.operators), width=width, units_per_em=found["head"].unitsPerEm
        )


class _PdfPen(BasePen):
    """Collects path operators (ISO 32000-1, path construction); BasePen makes curves cubic."""

    def __init__(self, glyphs: object) -> None:
        super().__init__(glyphs)
        self.operators: list[str] = []
        self.left = 0

    def _moveTo(self, pt: tuple[float, float]) -> None:
        self._append("m", pt)

    def _lineTo(self, pt: tuple[float, float]) -> None:
        self._append("l", pt)

    def _curveToOne(self, *points: tuple[float, float]) -> None:
        self._append("c", *points)

    def _closePath(self) -> None:
        self.operators.append("h")

    def _append(self, operator: str, *points: tuple[float, float]) -> None:
        numbers = [f"{round(x) + self.left} {round(y)}" for x, y in points]
        self.operators.append(" ".join([*numbers, operator]))
