"""A lab for each test module of the matrices, and one whose switch a test can change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checkout.commands.pay_qr import payer_pages
from checkout.comparison.trials.lab import Lab, open_lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab(payer_pages) as opened:
        yield opened


@pytest.fixture
def lab_in_process() -> Iterator[Lab]:
    """Its switch is a thread of this process, so that a test can remove a defence."""
    with open_lab(payer_pages, in_process=True) as opened:
        yield opened
