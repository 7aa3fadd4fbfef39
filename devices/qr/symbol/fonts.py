"""A font of this machine that can write given words."""

from __future__ import annotations

import subprocess
import unicodedata
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

# Fonts with Chinese characters, for machines without fontconfig.
_KNOWN_FONTS = (
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simsun.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
)
_OUTLINE_TABLES = frozenset({"glyf", "CFF ", "CFF2"})
_FONTCONFIG_TIMEOUT_S = 10.0


class FontError(ValueError):
    """Words that no font of this machine can write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FontFile:
    """A font: its file, and its number where the file is a collection of fonts."""

    path: str
    number: int = 0


@lru_cache(maxsize=32)
def font_for(text: str) -> FontFile:
    """A font that has an outline for each character of `text`; FontError where there is none.

    Also FontError for a script that is written from right to left or has combining marks: glyphs
    are set one after another from left to right, and such a script needs more.
    """
    characters = {each for each in composed(text) if not each.isspace()}
    if any(map(_needs_shaping, characters)):
        raise FontError(f"sticker: expected words in Latin letters or Chinese, got {text!r}")
    for font in _candidates(characters):
        if all(ord(each) in glyph_names(font) for each in characters):
            return font
    raise FontError(
        f"sticker: no font on this machine writes {text!r}, "
        "expected one, such as Debian's fonts-wqy-microhei"
    )


@lru_cache(maxsize=8)
def glyph_names(font: FontFile) -> dict[int, str]:
    """The name of the glyph for each character code; empty where the font has no outlines."""
    from fontTools.ttLib import TTLibError

    try:
        with opened(font) as found:
            has_outlines = not _OUTLINE_TABLES.isdisjoint(found.keys())
            return (found.getBestCmap() or {}) if has_outlines else {}
    except (OSError, TTLibError):
        return {}


def opened(font: FontFile) -> TTFont:
    """`font` opened by fontTools, to be closed by the caller; OSError or TTLibError."""
    from fontTools.ttLib import TTFont  # heavy, and most stickers need no font

    return TTFont(font.path, fontNumber=font.number, lazy=True)


def composed(text: str) -> str:
    """`text` with each accent and its letter as one character."""
    return unicodedata.normalize("NFC", text)


def _needs_shaping(character: str) -> bool:
    is_mark = unicodedata.category(character).startswith("M")
    return is_mark or unicodedata.bidirectional(character) in ("R", "AL")


def _candidates(characters: Set[str]) -> Iterator[FontFile]:
    """Fonts that may have `characters`, the best first."""
    codes = " ".join(sorted(f"{ord(each):x}" for each in characters))
    command = ["fc-match", "--format=%{index} %{file}", f"sans-serif:charset={codes}"]
    try:
        found = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_FONTCONFIG_TIMEOUT_S, check=True
        ).stdout
        number, _, path = found.partition(" ")
        # The upper half of fontconfig's index is the instance of a variable font.
        yield FontFile(path=path, number=int(number) & 0xFFFF)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass  # no fontconfig on this machine
    yield from (FontFile(path=each) for each in _KNOWN_FONTS if Path(each).exists())
