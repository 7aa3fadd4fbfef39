"""Trials: something is tried by each mode, and what came of it is a row of a matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from checkout.comparison.results import Cell, CellMode, Row
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials.lab import Lab, TrialRun, open_lab

Case = Callable[[TrialRun], Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row: how it is brought about by each mode.

    A mode has None where it cannot be brought about, and `absent` says why.
    `code` is the payer's own code, shown on the phone; `remedy` is what helps against an attack
    that works.
    """

    name: str
    title: str
    what: str
    qr: Case | None
    nfc: Case | None
    code: Case | None = None
    absent: Mapping[CellMode, str] = field(default_factory=dict)
    remedy: str = ""


def run_trials(
    trials: Sequence[Trial],
    serve_pages: ServePages,
    *,
    only: tuple[str, ...],
    progress: Callable[[int, int], None],
) -> tuple[Row, ...]:
    """Run every trial, or those named in `only`; `progress` gets the number done and of all."""
    chosen = [trial for trial in trials if not only or trial.name in only]
    rows = []
    with open_lab(serve_pages) as lab:
        for done, trial in enumerate(chosen):
            progress(done, len(chosen))
            rows.append(run_trial(lab, trial))
        progress(len(chosen), len(chosen))
    return tuple(rows)


def run_trial(lab: Lab, trial: Trial) -> Row:
    """One row of the matrix."""
    modes: tuple[tuple[CellMode, Case | None], ...] = (
        ("qr", trial.qr),
        ("payer-code", trial.code),
        ("nfc", trial.nfc),
    )
    cells = [
        case(TrialRun(lab=lab, name=trial.name, mode=mode, order=lab.order()))
        for mode, case in modes
        if case is not None
    ]
    return Row(
        name=trial.name,
        title=trial.title,
        what=trial.what,
        cells=tuple(cells),
        absent=trial.absent,
        remedy=trial.remedy,
    )
