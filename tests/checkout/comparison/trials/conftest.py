"""One rig a test module for the fault and attack matrices, and one whose switch can be undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checkout.commands.pay_qr import payer_pages, told_by_phone
from checkout.comparison.testbed.testbed import Pages
from checkout.comparison.trials.rig import Rig, open_rig

PAGES = Pages(serve=payer_pages, story=told_by_phone)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with open_rig(PAGES) as opened:
        yield opened


@pytest.fixture
def soft_rig() -> Iterator[Rig]:
    """Its switch is a thread here, so that a test can take a defence out of it."""
    with open_rig(PAGES, in_process=True) as opened:
        yield opened
