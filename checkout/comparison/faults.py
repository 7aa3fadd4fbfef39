"""The fault matrix: each fault really brought about, by each mode, and the money counted after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from checkout.comparison import fault_plays as plays
from checkout.comparison.results import Cell, Row
from checkout.comparison.rig import Mode, Rig, Scene, open_rig
from checkout.comparison.stand import Pages

_Play = Callable[[Scene], Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row: how it is brought about by each mode; None where it cannot arise."""

    name: str
    title: str
    what: str
    qr: _Play | None
    nfc: _Play | None


def run_faults(
    pages: Pages,
    *,
    only: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Row, ...]:
    """Play every cell, or those of the rows named in `only`; `progress` hears done and total."""
    chosen = [fault for fault in FAULTS if not only or fault.name in only]
    rows = []
    with open_rig(pages) as rig:
        for done, fault in enumerate(chosen):
            progress(done, len(chosen))
            rows.append(play_fault(rig, fault))
        progress(len(chosen), len(chosen))
    return tuple(rows)


def play_fault(rig: Rig, fault: Fault) -> Row:
    """One row of the matrix."""
    modes: tuple[tuple[Mode, _Play | None], ...] = (("qr", fault.qr), ("nfc", fault.nfc))
    cells = [
        play(Scene(rig=rig, name=fault.name, mode=mode, order=rig.order()))
        for mode, play in modes
        if play is not None
    ]
    return Row(name=fault.name, title=fault.title, what=fault.what, cells=tuple(cells))


FAULTS = (
    Fault(
        name="phone-offline",
        title="Phone offline",
        what="The payer's phone has no network, and finds it again.",
        qr=plays.phone_offline_qr,
        nfc=plays.phone_offline_nfc,
    ),
    Fault(
        name="shop-offline",
        title="Shop offline",
        what="The line to the switch is down when the payer is ready, and comes back.",
        qr=plays.shop_offline,
        nfc=plays.shop_offline,
    ),
    Fault(
        name="switch-slow",
        title="Switch slow",
        what="The answer comes after the shop has given up waiting.",
        qr=plays.slow,
        nfc=plays.slow,
    ),
    Fault(
        name="request-lost",
        title="Question lost",
        what="The question never reaches the switch.",
        qr=plays.request_lost,
        nfc=plays.request_lost,
    ),
    Fault(
        name="answer-lost",
        title="Answer lost",
        what="The switch has decided; its answer gets lost.",
        qr=plays.answer_lost,
        nfc=plays.answer_lost,
    ),
    Fault(
        name="paid-late",
        title="Order runs out meanwhile",
        what="The order's quarter of an hour ends while the switch decides.",
        qr=plays.late,
        nfc=plays.late,
    ),
    Fault(
        name="reader-unplugged",
        title="Reader unplugged",
        what="The reader is pulled out during a sale, and put back.",
        qr=plays.unplugged_qr,
        nfc=plays.unplugged_nfc,
    ),
    Fault(
        name="card-pulled-away",
        title="Card pulled away",
        what="The card leaves halfway and is presented again.",
        qr=None,
        nfc=plays.pulled_away,
    ),
    Fault(
        name="page-closed",
        title="Page closed",
        what="The page is closed once the payer has confirmed.",
        qr=plays.page_closed_qr,
        nfc=plays.page_closed_nfc,
    ),
    Fault(
        name="code-expired",
        title="Time runs out while paying",
        what="The code's minute, or the order's quarter of an hour, ends before the payer is done.",
        qr=plays.expired_qr,
        nfc=plays.expired_nfc,
    ),
    Fault(
        name="disk-full",
        title="Disk full",
        what="The switch cannot write its books; then there is room again.",
        qr=plays.disk_full,
        nfc=plays.disk_full,
    ),
    Fault(
        name="power-cut-before",
        title="Power cut at the switch, before it decides",
        what="The switch is killed with the question in its hands, and started again.",
        qr=plays.switch_cut_before,
        nfc=plays.switch_cut_before,
    ),
    Fault(
        name="power-cut-after",
        title="Power cut at the switch, after it decided",
        what="The switch is killed with its answer committed and unsent, and started again.",
        qr=plays.switch_cut_after,
        nfc=plays.switch_cut_after,
    ),
    Fault(
        name="power-cut-shop",
        title="Power cut at the shop",
        what="The shop is killed while the answer is on its way; another process takes over.",
        qr=plays.shop_cut,
        nfc=plays.shop_cut,
    ),
    Fault(
        name="clock-wrong",
        title="Clock wrong",
        what="The shop's clock is ten years ahead, and is put right.",
        qr=plays.clock_ahead,
        nfc=plays.clock_ahead,
    ),
)
