from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conformance_rigs import (
    CardProcess,
    HardwareRig,
    OtherProcessRig,
    Rig,
    make_rig,
)

TRANSPORTS = ("in-process", "transcript", "pty", "udp", "acr122u", "rc-s380")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*abilities): what the transport must be able to do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rig" in metafunc.fixturenames:
        path = metafunc.config.getoption("--reader")
        hardware = [pytest.param(path, marks=pytest.mark.hardware)] if path else []
        metafunc.parametrize("rig", hardware or TRANSPORTS, indirect=True)


@pytest.fixture(scope="session")
def card_process() -> Iterator[CardProcess]:
    """The other process, one for the run."""
    process = CardProcess()
    yield process
    process.close()


@pytest.fixture
def rig(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    """One transport; tests marked `needs` are skipped where it lacks an ability."""
    if request.config.getoption("--reader"):
        made: Rig = HardwareRig(request.param)
    elif request.param == "udp":
        made = OtherProcessRig(request.getfixturevalue("card_process"))
    else:
        made = make_rig(request.param, tmp_path, monkeypatch)
    try:
        marker = request.node.get_closest_marker("needs")
        missing = set(marker.args if marker else ()) - made.abilities
        if missing:
            pytest.skip(f"{request.param} has no {', '.join(sorted(missing))}")
        yield made
    finally:
        made.close()
