"""The fault matrix: each fault really brought about, by each mode, and the money counted after."""

from __future__ import annotations

from collections.abc import Callable

from checkout.comparison.results import Row
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials import fault_cases as plays, shop_fault_cases as shop
from checkout.comparison.trials.trial import Trial, run_trials


def run_faults(
    serve_pages: ServePages,
    *,
    only: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Row, ...]:
    """Play every cell, or those of the rows named in `only`; `progress` hears done and total."""
    return run_trials(FAULTS, serve_pages, only=only, progress=progress)


FAULTS = (
    Trial(
        name="phone-offline",
        title="Phone offline",
        what="The payer's phone has no network, and finds it again.",
        qr=plays.phone_offline_qr,
        nfc=plays.phone_offline_nfc,
        code=plays.phone_offline_code,
    ),
    Trial(
        name="shop-offline",
        title="Shop offline",
        what="The line to the switch is down when the payer is ready, and comes back.",
        qr=plays.shop_offline,
        nfc=plays.shop_offline,
        code=plays.shop_offline,
    ),
    Trial(
        name="switch-slow",
        title="Switch slow",
        what="The answer comes after the shop has given up waiting.",
        qr=plays.slow,
        nfc=plays.slow,
        code=plays.slow,
    ),
    Trial(
        name="request-lost",
        title="Question lost",
        what="The question never reaches the switch.",
        qr=plays.request_lost,
        nfc=plays.request_lost,
        code=plays.request_lost,
    ),
    Trial(
        name="answer-lost",
        title="Answer lost",
        what="The switch has decided; its answer gets lost.",
        qr=plays.answer_lost,
        nfc=plays.answer_lost,
        code=plays.answer_lost,
    ),
    Trial(
        name="paid-late",
        title="Order runs out meanwhile",
        what="The order's quarter of an hour ends while the switch decides.",
        qr=plays.late,
        nfc=plays.late,
        code=plays.late,
    ),
    Trial(
        name="reader-unplugged",
        title="Reader unplugged",
        what="The reader is pulled out during a sale, and put back.",
        qr=plays.unplugged_qr,
        nfc=plays.unplugged_nfc,
        code=plays.unplugged_qr,
    ),
    Trial(
        name="card-pulled-away",
        title="Pulled away",
        what="The card leaves halfway, the phone before its code was read; then once more.",
        qr=None,
        nfc=plays.pulled_away,
        code=plays.taken_away,
        absent={"qr": "the payer holds the phone that scans; the shop's code stays where it is"},
    ),
    Trial(
        name="page-closed",
        title="Page closed",
        what="The page is closed once the payer has confirmed.",
        qr=plays.page_closed_qr,
        nfc=plays.page_closed_nfc,
        code=plays.page_closed_code,
    ),
    Trial(
        name="code-expired",
        title="Time runs out while paying",
        what="The code's minute, or the order's quarter of an hour, ends before the payer is done.",
        qr=plays.expired_qr,
        nfc=plays.expired_nfc,
        code=plays.expired_code,
    ),
    Trial(
        name="disk-full",
        title="Disk full at the switch",
        what="The switch cannot write its books; then there is room again.",
        qr=plays.disk_full,
        nfc=plays.disk_full,
        code=plays.disk_full,
    ),
    Trial(
        name="disk-full-shop",
        title="Disk full at the shop",
        what="The shop can write nothing: from the start, then from the bank's answer on.",
        qr=shop.disk_full,
        nfc=shop.disk_full_tap,
        code=shop.disk_full,
    ),
    Trial(
        name="power-cut-before",
        title="Power cut at the switch, before it decides",
        what="The switch is killed with the question in its hands, and started again.",
        qr=plays.switch_cut_before,
        nfc=plays.switch_cut_before,
        code=plays.switch_cut_before,
    ),
    Trial(
        name="power-cut-after",
        title="Power cut at the switch, after it decided",
        what="The switch is killed with its answer committed and unsent, and started again.",
        qr=plays.switch_cut_after,
        nfc=plays.switch_cut_after,
        code=plays.switch_cut_after,
    ),
    Trial(
        name="power-cut-shop",
        title="Power cut at the shop",
        what="The shop is killed while the answer is on its way; another process takes over.",
        qr=shop.shop_cut,
        nfc=shop.shop_cut,
        code=shop.shop_cut_code,
    ),
    Trial(
        name="clock-wrong",
        title="Clock wrong",
        what="The shop's clock is ten years ahead, and is put right.",
        qr=plays.clock_ahead,
        nfc=plays.clock_ahead,
        code=plays.clock_ahead_code,
    ),
)
