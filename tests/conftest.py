"""Options that the whole test run knows."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import hypothesis
import pytest

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("checkout", deadline=None)
hypothesis.settings.load_profile("checkout")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reader",
        default="",
        metavar="PATH",
        help="run the reader suite on this reader, with a payment card lying on it",
    )


@pytest.fixture(scope="module", autouse=True)
def own_garbage() -> Iterator[None]:
    """Look through a file's garbage at its end.

    What was left open in it is then its own error, not that of whichever test the collector
    happens to run in.
    """
    yield
    gc.collect()
