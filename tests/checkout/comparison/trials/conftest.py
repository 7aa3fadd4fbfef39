"""One rig a test module for the fault and attack matrices, and one whose switch can be undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checkout.commands.pay_qr import payer_pages
from checkout.comparison.trials.rig import Rig, open_rig


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with open_rig(payer_pages) as opened:
        yield opened


@pytest.fixture
def soft_rig() -> Iterator[Rig]:
    """Its switch is a thread here, so that a test can take a defence out of it."""
    with open_rig(payer_pages, in_process=True) as opened:
        yield opened
