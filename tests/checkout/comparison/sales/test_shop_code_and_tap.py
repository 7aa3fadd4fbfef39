"""What a payer is shown at the end of an attempt, in a few words."""

from __future__ import annotations

import pytest

from checkout.comparison.sales.shop_code_and_tap import page_words
from devices.phone import PhoneResult


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("paid", "paid"),
        ("unknown", "not known yet"),
        ("reversed", "taken back"),
        ("expired", "the code has run out"),
        ("used", "the code has been used"),
        ("problem", "the words of the page"),
    ],
)
def test_each_outcome_of_a_page_has_its_words(outcome: str, words: str) -> None:
    seen = PhoneResult(outcome=outcome, text="the words of the page", url="http://shop/p/A")
    assert page_words(seen, None) == words
