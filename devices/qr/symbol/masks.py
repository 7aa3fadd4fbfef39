"""The mask patterns of a QR symbol, and the choice of the one with the fewest penalty points.

One integer holds all eight trial symbols, so that each rule is a few shifts and ands over all of
them. The points equal those of `qrcode`, rounding included.
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
    """Rows of 0 and 1: 1 where `mask` inverts a module that is `free` for data."""
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

    `trials` are the modules of an empty symbol with each mask, rows of 0 and 1. In the integer, a
    trial has `size` rows of `size` modules and a blank, then a blank row. A blank is neither dark
    nor light, so that no run, block or pattern extends from one row or trial to the next.
    """

    def __init__(self, size: int, trials: Sequence[Sequence[str]]) -> None:
        self._size = size
        self._stride = size + 1
        self._pitch = -(-(size + 1) * self._stride // 8)  # bytes from one trial to the next
        tail = 8 * self._pitch - size * self._stride
        self._tail = tail
        self._trials = self._joined(
            [int("".join(row + "0" for row in rows), 2) << tail for rows in trials]
        )
        valid = int(("1" * size + "0") * size, 2) << tail
        self._valid = self._joined([valid] * MASKS)
        self._pairs = {step: self._valid & (self._valid >> step) for step in (1, self._stride)}

    def _joined(self, symbols: Sequence[int]) -> int:
        return int.from_bytes(b"".join(symbol.to_bytes(self._pitch) for symbol in symbols))

    def best(self, placed: int) -> int:
        """The mask with the fewest points for `placed` data bits; of equals the lowest."""
        points = self.points(placed)
        return points.index(min(points))

    def points(self, placed: int) -> list[int]:
        """The penalty points of each mask (ISO/IEC 18004, evaluation of data masking results)."""
        repeated = (placed << self._tail).to_bytes(self._pitch) * MASKS
        dark = int.from_bytes(repeated) ^ self._trials
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
        """Points for runs of five and more along `step`; the modules that equal the next one."""
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
        """The number of bits of `found` in each trial."""
        pitch = self._pitch
        raw = found.to_bytes(MASKS * pitch)
        return [
            int.from_bytes(raw[start : start + pitch]).bit_count()
            for start in range(0, MASKS * pitch, pitch)
        ]


def _finder_like(dark: int, light: int, step: int) -> int:
    """The places of 1011101 with four light modules before or after it, along `step`."""
    two_dark = dark & (dark >> 2 * step)
    two_light = light & (light >> 4 * step)
    finder = two_dark & (two_dark >> 4 * step) & (dark >> 3 * step) & (two_light >> step)
    pair = light & (light >> step)
    four = pair & (pair >> 2 * step)
    return (finder & (four >> 7 * step)) | (four & (finder >> 4 * step))
