"""Mask patterns of a QR symbol, and the choice among the eight by lost points.

All eight trial symbols lie side by side in one integer, so that each rule is a handful of
shifts and ands over the lot. The points are those of `qrcode`, to the last rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Number of mask patterns (ISO/IEC 18004, data mask patterns).
MASKS = 8

_CONDITIONS: tuple[Callable[[int, int], bool], ...] = (
    lambda row, column: (row + column) % 2 == 0,
    lambda row, column: row % 2 == 0,
    lambda row, column: column % 3 == 0,
    lambda row, column: (row + column) % 3 == 0,
    lambda row, column: (row // 2 + column // 3) % 2 == 0,
    lambda row, column: row * column % 2 + row * column % 3 == 0,
    lambda row, column: (row * column % 2 + row * column % 3) % 2 == 0,
    lambda row, column: (row * column % 3 + (row + column) % 2) % 2 == 0,
)
_PERIOD = 12  # every condition repeats after 12 rows and after 12 columns


def mask_rows(mask: int, free: Sequence[Sequence[bool]]) -> list[str]:
    """Rows of 0 and 1: where `mask` inverts a module that `free` gives to the bits."""
    condition = _CONDITIONS[mask]
    tile = [[condition(row, column) for column in range(_PERIOD)] for row in range(_PERIOD)]
    width = len(free)
    rows = [(tile_row * (width // _PERIOD + 1))[:width] for tile_row in tile]
    return [
        "".join(
            [
                "1" if inverts and open_ else "0"
                for inverts, open_ in zip(rows[i % 12], row, strict=True)
            ]
        )
        for i, row in enumerate(free)
    ]


class MaskScorer:
    """Scores the eight trial symbols of one version.

    `trials` are the modules of an empty symbol under each mask, rows of 0 and 1. A trial takes
    `size` rows of `size` modules and one blank, then one blank row: no run, block or pattern
    can reach over a blank, since a blank is neither dark nor light.
    """

    def __init__(self, size: int, trials: Sequence[Sequence[str]]) -> None:
        self._size = size
        self._stride = size + 1
        self._pitch = -(-(size + 1) * self._stride // 8)  # bytes from one trial to the next
        tail = 8 * self._pitch - size * self._stride
        self._tail = tail
        self._trials = self._line_up(
            [int("".join(row + "0" for row in rows), 2) << tail for rows in trials]
        )
        valid = int(("1" * size + "0") * size, 2) << tail
        self._valid = self._line_up([valid] * MASKS)
        self._pairs = {step: self._valid & (self._valid >> step) for step in (1, self._stride)}

    def _line_up(self, symbols: Sequence[int]) -> int:
        return int.from_bytes(b"".join(symbol.to_bytes(self._pitch) for symbol in symbols))

    def best(self, placed: int) -> int:
        """The mask of fewest lost points for `placed` data bits; the lower one of equals."""
        points = self.points(placed)
        return points.index(min(points))

    def points(self, placed: int) -> list[int]:
        """Lost points of each mask (ISO/IEC 18004, evaluation of data masking results)."""
        lined_up = (placed << self._tail).to_bytes(self._pitch) * MASKS
        dark = int.from_bytes(lined_up) ^ self._trials
        light = dark ^ self._valid
        stride = self._stride
        across, alike_across = self._runs(dark, 1)
        down, alike_down = self._runs(dark, stride)
        blocks = self._counts(alike_across & (alike_across >> stride) & alike_down)
        patterns_across = self._counts(_finder_like(dark, light, 1))
        patterns_down = self._counts(_finder_like(dark, light, stride))
        darkness = map(self._balance, self._counts(dark))
        return [
            a + b + 3 * c + 40 * (d + e) + f
            for a, b, c, d, e, f in zip(
                across, down, blocks, patterns_across, patterns_down, darkness, strict=True
            )
        ]

    def _runs(self, dark: int, step: int) -> tuple[list[int], int]:
        """Points for runs of five and more along `step`; and which modules equal their next."""
        pairs = self._pairs[step]
        alike = (dark ^ (dark >> step)) & pairs ^ pairs
        three = alike & (alike >> step)
        five = three & (three >> 2 * step)
        # A run of n leaves n - 4 bits in `five` and n - 5 in `longer`; it costs n - 2.
        longer = five & (five >> step)
        counts = zip(self._counts(five), self._counts(longer), strict=True)
        return [3 * ones - 2 * more for ones, more in counts], alike

    def _balance(self, dark_count: int) -> int:
        percent = float(dark_count) / (self._size**2)
        return int(abs(percent * 100 - 50) / 5) * 10

    def _counts(self, found: int) -> list[int]:
        """How many bits of `found` fall to each trial."""
        pitch = self._pitch
        raw = found.to_bytes(MASKS * pitch)
        return [
            int.from_bytes(raw[start : start + pitch]).bit_count()
            for start in range(0, MASKS * pitch, pitch)
        ]


def _finder_like(dark: int, light: int, step: int) -> int:
    """Where 1011101 stands with four light modules before or after it, along `step`."""
    two_dark = dark & (dark >> 2 * step)
    two_light = light & (light >> 4 * step)
    finder = two_dark & (two_dark >> 4 * step) & (dark >> 3 * step) & (two_light >> step)
    pair = light & (light >> step)
    four = pair & (pair >> 2 * step)
    return (finder & (four >> 7 * step)) | (four & (finder >> 4 * step))
