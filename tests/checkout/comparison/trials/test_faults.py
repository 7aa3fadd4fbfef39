"""Every cell of the fault matrix is played; no money is lost or taken twice in any."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from checkout.acceptance.qr import payer_code
from checkout.comparison.results import CELL_MODES, Cell
from checkout.comparison.trials.faults import FAULTS
from checkout.comparison.trials.lab import Lab
from checkout.comparison.trials.trial import Trial, run_trial
from checkout.shop.payments.authorisation import Authorisation
from checkout.shop.payments.repeats import Repeats

BY_NAME = {fault.name: fault for fault in FAULTS}


def cell_of(lab: Lab, fault: Trial, mode: str) -> Cell:
    row = run_trial(lab, fault)
    return next(cell for cell in row.cells if cell.mode == mode)


@pytest.fixture(scope="module")
def cells(lab: Lab) -> dict[tuple[str, str], Cell]:
    return {
        (cell.name, cell.mode): cell for fault in FAULTS for cell in run_trial(lab, fault).cells
    }


def test_no_money_is_lost_or_taken_twice(cells: dict[tuple[str, str], Cell]) -> None:
    assert len(cells) == 3 * len(FAULTS) - 1  # the shop's code cannot be pulled away
    for cell in cells.values():
        assert cell.money_lost_minor == 0, cell
        assert cell.taken_twice_minor == 0, cell
        assert cell.payer_saw
        assert cell.shop_saw


def test_a_cell_that_cannot_be_says_why(cells: dict[tuple[str, str], Cell]) -> None:
    for fault in FAULTS:
        for mode in CELL_MODES:
            assert ((fault.name, mode) in cells) != bool(fault.absent.get(mode)), (fault.name, mode)


@pytest.mark.parametrize("mode", CELL_MODES)
@pytest.mark.parametrize(
    "name",
    ["request-lost", "answer-lost", "switch-slow", "power-cut-before", "power-cut-after"],
)
def test_what_was_left_unheard_is_put_right_and_paid_again(
    cells: dict[tuple[str, str], Cell], name: str, mode: str
) -> None:
    cell = cells[name, mode]
    assert cell.verdict == "repaired"
    assert cell.holds == "the shop, once"


@pytest.mark.parametrize("mode", CELL_MODES)
def test_what_came_too_late_goes_back(cells: dict[tuple[str, str], Cell], mode: str) -> None:
    assert cells["paid-late", mode].holds == "the payer"


def test_a_phone_without_a_network_still_taps(cells: dict[tuple[str, str], Cell]) -> None:
    assert cells["phone-offline", "qr"].payer_saw == "no page: the network is gone, then paid"
    assert cells["phone-offline", "nfc"].payer_saw == "approved"


def test_a_code_on_the_screen_pays_without_a_network_up_to_the_limit(
    cells: dict[tuple[str, str], Cell],
) -> None:
    cell = cells["phone-offline", "payer-code"]
    assert cell.payer_saw == (
        "the code, and no page after it; over the limit: the code, and no page after it, then paid"
    )
    assert "no PIN was typed in time" in cell.shop_saw
    assert cell.holds == "the shop, once; over the limit: the shop, once"


def test_a_code_is_good_yet_when_the_bank_could_not_be_asked(
    cells: dict[tuple[str, str], Cell],
) -> None:
    assert cells["shop-offline", "payer-code"].holds == "the shop, once"


@pytest.mark.parametrize("mode", CELL_MODES)
def test_a_full_disk_at_the_shop_is_told_as_it_is(
    cells: dict[tuple[str, str], Cell], mode: str
) -> None:
    cell = cells["disk-full-shop", mode]
    seen = f"{cell.payer_saw} {cell.shop_saw}"
    assert "disk I/O error" in seen  # from the start: nothing was asked of anybody
    assert "could not be kept; what was charged is taken back" in seen
    assert (cell.verdict, cell.holds) == ("repaired", "the shop, once")


# A cell must depend on its defence: without it, the same fault ends otherwise.


@pytest.mark.parametrize("mode", CELL_MODES)
def test_without_reversals_a_lost_answer_costs_the_payer(
    lab_in_process: Lab,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Repeats, "repeat", lambda *_: False)
    cell = cell_of(lab_in_process, BY_NAME["answer-lost"], mode)
    assert cell.money_lost_minor == 1280


def test_without_the_sweep_a_killed_shop_leaves_money_behind(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Repeats, "repeat_due", lambda *_: 0)
    cell = cell_of(lab, BY_NAME["power-cut-shop"], "nfc")
    assert cell.money_lost_minor == 1280


def test_without_a_look_at_the_clock_a_late_payment_is_kept(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = Authorisation._record_approval

    def blind(self: Authorisation, attempt: Any, *rest: Any) -> Any:
        order = replace(attempt.order, expires_at=attempt.order.expires_at + timedelta(days=1))
        return keep(self, replace(attempt, order=order), *rest)

    before = cell_of(lab_in_process, BY_NAME["paid-late"], "qr")
    monkeypatch.setattr(Authorisation, "_record_approval", blind)
    after = cell_of(lab_in_process, BY_NAME["paid-late"], "qr")
    assert (before.verdict, before.holds) == ("repaired", "the payer")
    assert (after.verdict, after.holds) == ("safe", "the shop, once")


def test_without_expiry_a_dawdler_pays_with_an_old_code(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lab_in_process.shop.orders, "_code_ttl", timedelta(hours=1))
    cell = cell_of(lab_in_process, BY_NAME["code-expired"], "qr")
    assert cell.payer_saw == "paid"
    assert "has run out" in cell_of_fresh(lab_in_process, monkeypatch).payer_saw


def cell_of_fresh(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """The same fault with the defence back in place."""
    monkeypatch.undo()
    return cell_of(lab, BY_NAME["code-expired"], "qr")


def test_without_giving_back_an_unreachable_bank_blocks_the_order(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert cell_of(lab_in_process, BY_NAME["shop-offline"], "nfc").holds == "the shop, once"
    monkeypatch.setattr(Authorisation, "give_back", lambda *_, **__: None)
    cell = cell_of(lab_in_process, BY_NAME["shop-offline"], "nfc")
    assert cell.holds == "the payer"


def test_without_expiry_a_payers_code_of_two_minutes_ago_pays(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "expired" in cell_of(lab_in_process, BY_NAME["code-expired"], "payer-code").shop_saw
    monkeypatch.setattr(payer_code, "GRACE_STEPS", 10)
    assert cell_of(lab_in_process, BY_NAME["code-expired"], "payer-code").shop_saw == (
        "approved, then order paid"
    )
