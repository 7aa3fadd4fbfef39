"""The running clearing backend as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout.clearing.network import Network, running_network


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A fresh switch of its own, on SQLite."""
    with running_network(tmp_path) as running:
        yield running
