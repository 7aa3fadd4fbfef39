"""The entry point: pre-processing, the candidate list and the final selection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.nfc.emv.apdu import PPSE
from devices.nfc.kernel import Kernel, Outcome, Transaction, load_terminal
from devices.nfc.kernel.pre_processing import pre_process
from tests.devices.nfc.kernel.kernel_cards import (
    MASTERCARD,
    NOW,
    UNIONPAY,
    VISA,
    ScriptedCard,
    entry,
    fci,
    ppse,
    quick_answer,
    quick_card,
    tap,
    tlv,
)


def selected(card: ScriptedCard) -> list[str]:
    """Names that the terminal selected, after the directory."""
    selects = [command for command in card.commands if command[1] == 0xA4]
    return [command[5 : 5 + command[4]].hex().upper() for command in selects][1:]


def offering(*entries: bytes, applications: tuple[bytes, ...] = (UNIONPAY, VISA)) -> ScriptedCard:
    return ScriptedCard(
        directory=ppse(*entries),
        applications={aid: fci(aid) for aid in applications},
        options=quick_answer(),
    )


def test_the_directory_is_asked_first_and_the_card_then_selected() -> None:
    card = quick_card()
    result = tap(card)
    assert result.outcome is Outcome.ONLINE_REQUEST
    assert card.commands[0] == b"\x00\xa4\x04\x00\x0e" + PPSE + b"\x00"
    assert selected(card) == [UNIONPAY.hex().upper()]
    assert (result.aid, result.label, result.kernel) == (UNIONPAY, "CARD", "unionpay")


def test_the_card_s_priority_decides_and_its_order_on_a_tie() -> None:
    card = offering(entry(VISA, priority=2), entry(UNIONPAY, priority=1))
    assert tap(card).kernel == "unionpay"
    card = offering(entry(VISA, priority=1), entry(UNIONPAY, priority=1))
    assert tap(card).kernel == "visa"
    card = offering(entry(VISA, priority=None), entry(UNIONPAY, priority=15))
    assert tap(card).kernel == "unionpay"


def test_a_longer_name_on_the_card_matches_by_its_beginning() -> None:
    longer = VISA + b"\x01\x02"
    card = offering(entry(longer), applications=(longer,))
    assert tap(card).aid == longer
    terminal = load_terminal("china")
    exact = replace(
        terminal,
        applications=tuple(replace(app, partial_match=False) for app in terminal.applications),
    )
    card = offering(entry(longer), applications=(longer,))
    assert tap(card, terminal=exact).outcome is Outcome.TRY_ANOTHER_CARD


def test_a_shorter_name_on_the_card_does_not_match() -> None:
    card = offering(entry(VISA[:5]), applications=(VISA[:5],))
    assert tap(card).outcome is Outcome.TRY_ANOTHER_CARD
    assert len(card.commands) == 1


@pytest.mark.parametrize(
    ("kernel", "taken"),
    [
        ("07", True),
        ("00", True),
        ("03", False),
        ("47", False),
        ("80", False),
        ("8701", False),
        ("C7015600", False),
    ],
)
def test_the_kernel_that_the_card_asks_for_must_be_the_scheme_s(kernel: str, taken: bool) -> None:
    result = tap(offering(entry(UNIONPAY, kernel=kernel)))
    assert (result.outcome is Outcome.ONLINE_REQUEST) == taken


def test_what_one_application_refuses_the_next_may_take() -> None:
    for refusal in (0x6A82, 0x6283, 0x6985, tlv("77"), b"\x6f\x05\x84"):
        card = offering(entry(UNIONPAY, priority=1), entry(VISA, priority=2))
        card.applications[UNIONPAY] = refusal
        assert tap(card).kernel == "visa", refusal


def test_processing_options_refused_lead_to_the_next_candidate_with_a_clean_slate() -> None:
    card = offering(entry(UNIONPAY, priority=1), entry(VISA, priority=2))
    card.applications[UNIONPAY] = fci(UNIONPAY, label="FIRST")
    answers = iter((0x6985, quick_answer()))
    card.options = lambda _: next(answers)  # type: ignore[assignment,return-value]
    # a callable gives bytes or a status word like any other answer
    result = tap(card)
    assert (result.kernel, result.label, result.outcome) == ("visa", "CARD", Outcome.ONLINE_REQUEST)


@pytest.mark.parametrize(
    "directory",
    [
        0x6A82,
        0x6A81,
        0x6D00,
        b"",
        b"\x6f\x10\x84",
        ppse(),
        ppse(tlv("61", tlv("50", b"X"))),
        tlv("70"),
    ],
)
def test_a_card_without_a_usable_directory_is_turned_away(directory: bytes | int) -> None:
    card = quick_card(directory=directory)
    result = tap(card)
    assert result.outcome is Outcome.TRY_ANOTHER_CARD
    assert len(card.commands) == 1
    assert result.as_json()["aid"] is None


def test_an_application_that_nobody_takes_is_not_selected() -> None:
    card = offering(entry(bytes.fromhex("A00000002501")))
    assert tap(card).outcome is Outcome.TRY_ANOTHER_CARD
    assert len(card.commands) == 1


def test_without_a_directory_the_terminal_may_try_its_own_list() -> None:
    card = quick_card(VISA, directory=0x6A82)
    terminal = replace(load_terminal("china"), list_of_aids=True)
    result = tap(card, terminal=terminal)
    assert (result.kernel, result.outcome) == ("visa", Outcome.ONLINE_REQUEST)


def test_an_application_can_be_selected_directly() -> None:
    card = quick_card(VISA)
    card.applications = {VISA[:5]: fci(VISA)}
    result = tap(card, direct_aid=VISA[:5])
    assert (result.aid, result.kernel) == (VISA, "visa")
    assert tap(card, direct_aid=bytes.fromhex("A000000025")).outcome is Outcome.TRY_ANOTHER_CARD


def test_a_zero_amount_is_not_taken_unless_allowed() -> None:
    card = quick_card()
    assert tap(card, amount=0).outcome is Outcome.USE_ANOTHER_INTERFACE
    assert card.commands == []
    terminal = load_terminal("china")
    allowing = replace(
        terminal,
        applications=tuple(replace(app, zero_amount_allowed=True) for app in terminal.applications),
    )
    assert tap(card, amount=0, terminal=allowing).outcome is Outcome.ONLINE_REQUEST
    assert _ttq(card)[1] & 0x80


def test_at_the_contactless_limit_another_interface_is_used() -> None:
    terminal = load_terminal("china").with_limits(contactless=5000)
    kernels = [app for app in terminal.applications if app.kernel is not Kernel.MASTERCARD]
    terminal = replace(terminal, applications=tuple(kernels))
    assert tap(quick_card(), amount=4999, terminal=terminal).outcome is Outcome.ONLINE_REQUEST
    assert (
        tap(quick_card(), amount=5000, terminal=terminal).outcome is Outcome.USE_ANOTHER_INTERFACE
    )


def test_mastercard_s_contactless_limit_is_the_last_amount_it_takes() -> None:
    # Book C-2, S456.14: only an amount over the limit is refused; Book B counts the limit itself
    terminal = load_terminal("china").with_limits(contactless=5000)
    application = next(app for app in terminal.applications if app.kernel is Kernel.MASTERCARD)
    for amount, refused in ((4999, False), (5000, False), (5001, True)):
        processed = pre_process(Transaction.purchase(amount, at=NOW), terminal, application)
        assert (processed.not_allowed is not None) == refused


def test_an_application_over_its_limit_leaves_the_others() -> None:
    terminal = load_terminal("china")
    unionpay = next(app for app in terminal.applications if UNIONPAY in app.aids)
    capped = replace(unionpay, limits=tuple(replace(lim, contactless=1) for lim in unionpay.limits))
    terminal = replace(
        terminal,
        applications=tuple(capped if app is unionpay else app for app in terminal.applications),
    )
    card = offering(entry(UNIONPAY, priority=1), entry(VISA, priority=2))
    assert tap(card, terminal=terminal).kernel == "visa"


def _ttq(card: ScriptedCard) -> bytes:
    options = next(command for command in card.commands if command[1] == 0xA8)
    return options[7:11]


@pytest.mark.parametrize(
    ("amount", "floor", "online", "verified"),
    [
        (99999, 0, True, False),
        (100000, 0, True, True),
        (5000, 5000, False, False),
        (5001, 5000, True, False),
    ],
)
def test_the_qualifiers_tell_the_card_what_the_limits_say(
    amount: int, floor: int, online: bool, verified: bool
) -> None:
    card = quick_card()
    tap(card, amount=amount, terminal=load_terminal("china").with_limits(floor=floor))
    assert bool(_ttq(card)[1] & 0x80) == online
    assert bool(_ttq(card)[1] & 0x40) == verified


def test_one_unit_of_currency_can_be_a_status_check() -> None:
    terminal = load_terminal("china").with_limits(floor=5000)
    asking = replace(
        terminal,
        applications=tuple(replace(app, status_check=True) for app in terminal.applications),
    )
    card = quick_card()
    tap(card, amount=100, terminal=asking)
    assert _ttq(card)[1] & 0x80


def test_mastercard_is_not_sent_qualifiers_it_did_not_ask_for() -> None:
    card = quick_card(MASTERCARD)
    card.applications[MASTERCARD] = fci(MASTERCARD, pdol=None)
    tap(card)
    assert card.commands[2].hex().upper() == "80A8000002830000"
