"""Options that the whole test run knows."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reader",
        default="",
        metavar="PATH",
        help="run the reader suite on this reader, with a payment card lying on it",
    )
