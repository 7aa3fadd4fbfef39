"""The fault matrix: each fault really brought about, by each mode, and the money counted after."""

from __future__ import annotations

from collections.abc import Callable

from checkout.comparison.results import Row
from checkout.comparison.testbed.testbed import ServePages
from checkout.comparison.trials import fault_cases as cases, shop_fault_cases as shop
from checkout.comparison.trials.trial import Trial, run_trials


def run_faults(
    serve_pages: ServePages,
    *,
    only: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Row, ...]:
    """Bring about every fault, or those in `only`; `progress` gets the number done, and of all."""
    return run_trials(FAULTS, serve_pages, only=only, progress=progress)


FAULTS = (
    Trial(
        name="phone-offline",
        title="Phone offline",
        what="The payer's phone has no network, and finds it again.",
        qr=cases.phone_offline_qr,
        nfc=cases.phone_offline_nfc,
        code=cases.phone_offline_code,
    ),
    Trial(
        name="shop-offline",
        title="Shop offline",
        what="The line to the switch is down when the payer is ready, and comes back.",
        qr=cases.shop_offline,
        nfc=cases.shop_offline,
        code=cases.shop_offline,
    ),
    Trial(
        name="switch-slow",
        title="Switch slow",
        what="The answer comes after the shop has given up waiting.",
        qr=cases.slow,
        nfc=cases.slow,
        code=cases.slow,
    ),
    Trial(
        name="request-lost",
        title="Question lost",
        what="The question never reaches the switch.",
        qr=cases.request_lost,
        nfc=cases.request_lost,
        code=cases.request_lost,
    ),
    Trial(
        name="answer-lost",
        title="Answer lost",
        what="The switch has decided; its answer gets lost.",
        qr=cases.answer_lost,
        nfc=cases.answer_lost,
        code=cases.answer_lost,
    ),
    Trial(
        name="paid-late",
        title="Order runs out meanwhile",
        what="The order's quarter of an hour ends while the switch decides.",
        qr=cases.late,
        nfc=cases.late,
        code=cases.late,
    ),
    Trial(
        name="reader-unplugged",
        title="Reader unplugged",
        what="The reader is pulled out during a sale, and put back.",
        qr=cases.unplugged_qr,
        nfc=cases.unplugged_nfc,
        code=cases.unplugged_qr,
    ),
    Trial(
        name="card-pulled-away",
        title="Pulled away",
        what="The card leaves halfway, the phone before its code was read; then once more.",
        qr=None,
        nfc=cases.pulled_away,
        code=cases.taken_away,
        absent={"qr": "the payer holds the phone that scans; the shop's code stays where it is"},
    ),
    Trial(
        name="page-closed",
        title="Page closed",
        what="The page is closed once the payer has confirmed.",
        qr=cases.page_closed_qr,
        nfc=cases.page_closed_nfc,
        code=cases.page_closed_code,
    ),
    Trial(
        name="code-expired",
        title="Time runs out while paying",
        what="The code's minute, or the order's quarter of an hour, ends before the payer is done.",
        qr=cases.expired_qr,
        nfc=cases.expired_nfc,
        code=cases.expired_code,
    ),
    Trial(
        name="disk-full",
        title="Disk full at the switch",
        what="The switch cannot write its books; then there is room again.",
        qr=cases.disk_full,
        nfc=cases.disk_full,
        code=cases.disk_full,
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
        qr=cases.switch_cut_before,
        nfc=cases.switch_cut_before,
        code=cases.switch_cut_before,
    ),
    Trial(
        name="power-cut-after",
        title="Power cut at the switch, after it decided",
        what="The switch is killed with its answer committed and unsent, and started again.",
        qr=cases.switch_cut_after,
        nfc=cases.switch_cut_after,
        code=cases.switch_cut_after,
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
        qr=cases.clock_ahead,
        nfc=cases.clock_ahead,
        code=cases.clock_ahead_code,
    ),
)
