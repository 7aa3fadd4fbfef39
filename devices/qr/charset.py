"""The text in the bytes of a symbol, by the character sets that it declares, or by its bytes.

A symbol declares a character set by an ECI (AIM ITS/04-023). Many declare none and write UTF-8 all
the same, or the old character set of their country.
"""

from __future__ import annotations

import re

# Designator of an ECI -> the codec of its character set.
_CODECS = {
    **dict.fromkeys((0, 2), "cp437"),
    **dict.fromkeys((1, 3), "iso8859-1"),
    **{number: f"iso8859-{number - 2}" for number in (*range(4, 14), *range(15, 19))},
    20: "shift_jis",
    21: "cp1250",
    22: "cp1251",
    23: "cp1252",
    24: "cp1256",
    25: "utf-16-be",
    26: "utf-8",
    27: "ascii",
    28: "big5",
    29: "gb2312",
    30: "euc-kr",
    31: "gbk",
    32: "gb18030",
    33: "utf-16-le",
    34: "utf-32-be",
    35: "utf-32-le",
}
# zxing-cpp's bytes with ECIs: `]Q2` or another even modifier, then `\` and six digits before each
# part; a backslash of the content is doubled (AIM ECI protocol).
_DECLARED = re.compile(rb"\][A-Za-z][2468]")
_PART = re.compile(rb"\\([0-9]{6})((?:[^\\]|\\\\)*)", re.DOTALL)


def text_of(content: bytes, with_ecis: bytes) -> str:
    """The text of a symbol; `with_ecis` are its bytes with identifier and ECIs, as zxing-cpp gives.

    Bytes that no character set fits become the characters of the same numbers.
    """
    if _DECLARED.match(with_ecis) and _PART.match(with_ecis, 3):
        return "".join(
            _decoded(part.replace(b"\\\\", b"\\"), _CODECS.get(int(number), ""))
            for number, part in _PART.findall(with_ecis, 3)
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _legacy(content)


def _decoded(part: bytes, codec: str) -> str:
    try:
        return part.decode(codec) if codec else text_of(part, b"")
    except UnicodeDecodeError:
        return text_of(part, b"")


def _legacy(content: bytes) -> str:
    """Chinese in GBK or Japanese in Shift-JIS where all of it are everyday characters."""
    for codec, is_usual in (("gbk", _is_usual_chinese), ("shift_jis", _is_usual_japanese)):
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        beyond = [each for each in text if not each.isascii()]
        if all(map(is_usual, beyond)) and any(each >= "\u3040" for each in beyond):
            return text
    return content.decode("iso8859-1")


def _is_usual_chinese(character: str) -> bool:
    """Whether it is punctuation or a first-level character of GB 2312."""
    code = character.encode("gbk")
    return b"\xa1\xa1" <= code <= b"\xa3\xfe" or b"\xb0\xa1" <= code <= b"\xd7\xf9"


def _is_usual_japanese(character: str) -> bool:
    """Whether it is kana, punctuation or a first-level character of JIS X 0208."""
    code = character.encode("shift_jis")
    return len(code) == 2 and b"\x81\x40" <= code <= b"\x98\x72"
