"""What both matrices are made of: something is tried by each mode, and what came of it is a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from checkout.comparison.results import Cell, CellMode, Row
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials.rig import Rig, Scene, open_rig

Play = Callable[[Scene], Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row: how it is brought about by each mode; None where it cannot be, `absent` why.

    `code` is the payer's own code, shown on the phone; `remedy` is what helps against an attack
    that works.
    """

    name: str
    title: str
    what: str
    qr: Play | None
    nfc: Play | None
    code: Play | None = None
    absent: Mapping[CellMode, str] = field(default_factory=dict)
    remedy: str = ""


def run_trials(
    trials: Sequence[Trial],
    serve_pages: ServePages,
    *,
    only: tuple[str, ...],
    progress: Callable[[int, int], None],
) -> tuple[Row, ...]:
    """Play every cell, or those of the rows named in `only`; `progress` hears done and total."""
    chosen = [trial for trial in trials if not only or trial.name in only]
    rows = []
    with open_rig(serve_pages) as rig:
        for done, trial in enumerate(chosen):
            progress(done, len(chosen))
            rows.append(play_trial(rig, trial))
        progress(len(chosen), len(chosen))
    return tuple(rows)


def play_trial(rig: Rig, trial: Trial) -> Row:
    """One row of the matrix."""
    modes: tuple[tuple[CellMode, Play | None], ...] = (
        ("qr", trial.qr),
        ("payer-code", trial.code),
        ("nfc", trial.nfc),
    )
    cells = [
        play(Scene(rig=rig, name=trial.name, mode=mode, order=rig.order()))
        for mode, play in modes
        if play is not None
    ]
    return Row(
        name=trial.name,
        title=trial.title,
        what=trial.what,
        cells=tuple(cells),
        absent=trial.absent,
        remedy=trial.remedy,
    )
