"""Child processes start from the installation, whatever lies in the current directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkout.child_process import module_command, module_environment
from checkout.clearing.pipeline.decode_ahead import DecodeAhead
from checkout.clearing.scheme.participants import demo_participants
from checkout.clearing.store.worker_process import WorkerProcess
from checkout.comparison.testbed.shop_process import ShopProcess, sell_in_child
from checkout.comparison.testbed.switch_process import SwitchProcess
from checkout.config import Config
from checkout.database import open_sqlite
from tests.checkout.serving import Serving

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: packages named like ours and like Python's own note that they ran.

    The parent runs as the installed command `checkout` does, which does not look there.
    """
    folder = tmp_path / "hostile"
    note = f"open({str(folder / 'ran')!r}, 'a').write(__name__ + ' ')\nraise SystemExit(9)\n"
    for package in ("checkout", "devices", "sqlalchemy", "logging"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(note)
    (folder / "socket.py").write_text(note)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT) + os.pathsep)  # the empty entry is this directory
    return folder


def nothing_ran(hostile: Path) -> bool:
    return not (hostile / "ran").exists()


def installed(*arguments: str) -> list[str]:
    """The command as its script starts it: what lies beside the script is found, not here."""
    return [sys.executable, "-P", "-m", "checkout", *arguments]


def test_a_folder_named_like_ours_runs_where_nothing_keeps_it_out(hostile: Path) -> None:
    """What the other tests show not to happen would be seen."""
    told = subprocess.run([sys.executable, "-m", "checkout", "payers"], timeout=60, check=False)
    assert told.returncode == 9
    assert not nothing_ran(hostile)


def test_every_process_of_serve_starts_from_the_installation(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    serving = Serving(tmp_path / "home", "--reader", "none", python=(sys.executable, "-P"))
    try:
        roles = serving.roles()
        assert sorted(roles.values()) == ["switch", "terminal", "web", "worker"]
        assert serving.order()["state"] == "open"
        for pid, role in roles.items():
            if role != "web":  # which lets its workers serve, and comes back with others
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while len(set(serving.roles()) - set(roles)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert sorted(serving.roles().values()) == ["switch", "terminal", "web", "worker"]
    finally:
        serving.kill()
    assert nothing_ran(hostile), (hostile / "ran").read_text()


@pytest.mark.parametrize("mode", ["qr", "nfc"])
def test_a_sale_by_command_starts_from_the_installation(
    mode: str, hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    told = subprocess.run(
        installed("pay", "--mode", mode, "--amount", "1", "--json"),
        env=os.environ | {"CHECKOUT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, nothing_ran(hostile)) == (0, True), told.stderr


def test_the_workers_of_a_busy_switch_start_from_the_installation(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkout.clearing.store.worker_process._cores", lambda: 2)
    database = tmp_path / "checkout.db"
    open_sqlite(database).close()
    url = f"sqlite:///{database}"
    for worker in (
        WorkerProcess("checkout.clearing.store.write_process", url),
        DecodeAhead(tmp_path, demo_participants()).process,
    ):
        deadline = time.monotonic() + 30
        try:
            while not worker.is_ready(start=True) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert worker.is_ready(start=False)
        finally:
            worker.close()
    assert nothing_ran(hostile)


def test_the_processes_of_the_comparison_start_from_the_installation(
    hostile: Path, tmp_path: Path
) -> None:
    config = Config(home=tmp_path / "home")
    assert sell_in_child(config, mode="nfc", amount="1", payer="unionpay-debit")[0] == 0
    switch, shop = SwitchProcess(config), ShopProcess(config)
    try:
        switch.start()
        shop.start()
    finally:
        shop.kill()
        switch.stop()
    assert nothing_ran(hostile)


def test_a_child_keeps_the_rest_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("", "relative", "/opt/own")))
    monkeypatch.setenv("LANGUAGE", "zh")
    environment = module_environment({"CHECKOUT_HOME": "/tmp/home"})
    assert environment["PYTHONPATH"].split(os.pathsep)[-1] == "/opt/own"
    assert "" not in environment["PYTHONPATH"].split(os.pathsep)
    assert "relative" not in environment["PYTHONPATH"].split(os.pathsep)
    assert (environment["LANGUAGE"], environment["CHECKOUT_HOME"]) == ("zh", "/tmp/home")


def test_a_child_of_a_source_tree_finds_that_tree(tmp_path: Path) -> None:
    program = "import checkout, devices; print(checkout.__file__, devices.__file__)"
    told = subprocess.run(
        [module_command("checkout")[0], "-S", "-c", program],
        env=module_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.split() == [
        str(ROOT / name / "__init__.py") for name in ("checkout", "devices")
    ]
