"""The NFC packages as another project uses them: public names, light imports, no warnings."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

PUBLIC = {
    "devices.nfc.contract": "Card CardDescription CardGone Reader ReaderGone SeveralCards",
    "devices.nfc.kernel": "Transaction load_terminal parse_ca_keys run_tap Outcome TapResult",
    "devices.nfc.emulated": (
        "EmulatedCard load_profile open_card ensure_authority in_process personalise"
    ),
    "devices.nfc.reader": "open_reader",
    "devices.nfc.transcript": "TranscriptReader record",
    "devices.nfc.reader.nfcpy": "open_reader",
}
HEAVY = ("numpy", "flask", "sqlalchemy", "nfc", "usb1", "serial")
POSIX_ONLY = ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource")


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_importable_from_their_stated_path(module: str) -> None:
    names = PUBLIC[module].split()
    assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []


def run_python(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "SYSTEMROOT": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "module",
    [
        "devices.nfc.contract",
        "devices.nfc.emv.ber_tlv",
        "devices.nfc.kernel",
        "devices.nfc.emulated",
        "devices.nfc.transcript",
        "devices.qr.codec",
    ],
)
def test_kernel_card_and_codecs_import_without_heavy_and_posix_modules(
    module: str, tmp_path: Path
) -> None:
    blocked = dict.fromkeys((*HEAVY, *POSIX_ONLY))
    program = f"import sys; sys.modules.update({blocked!r}); import {module}"
    done = run_python(program, tmp_path)
    assert done.returncode == 0, done.stderr


def kernel_example() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = (
        block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "run_tap(" in block
    )
    return example


def test_the_readmes_kernel_example_passes_with_warnings_as_errors(tmp_path: Path) -> None:
    body = "".join(f"    {line}\n" for line in kernel_example().splitlines() if line)
    tests = "".join(
        f"def test_{number}(tmp_path, monkeypatch):\n    monkeypatch.chdir(tmp_path)\n{body}\n"
        for number in ("first", "second")  # pytest resets the warning filters between the two
    )
    (tmp_path / "test_example.py").write_text(tests, encoding="utf-8")
    options = ["-W", "error", "-p", "no:cacheprovider", "-q"]
    program = f"import pytest, sys; sys.exit(pytest.main({options!r}))"
    done = run_python(program, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
