"""What can be taken out and used elsewhere imports without the heavy parts, and on Windows too."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Parts that serve pages, tables or simulations; and modules that Python has on POSIX alone.
HEAVY = ("numpy", "flask", "sqlalchemy", "ibis", "zxingcpp", "nfc")
POSIX = ("fcntl", "termios", "pty", "tty", "resource", "pwd", "grp")

#: Every public path, and the names that the README and other programs import from it.
PUBLIC = {
    "devices.nfc.kernel": ("Transaction", "load_terminal", "parse_ca_keys", "run_tap"),
    "devices.nfc.contract": ("TransportError",),
    "devices.nfc.emulated": ("ensure_authority", "in_process", "load_profile", "open_card"),
    "devices.qr.codec": ("cpm", "mpm"),
    "checkout.acceptance.qr.emv_mpm": ("parse", "build"),
    "checkout.acceptance.qr.emv_cpm": ("parse", "build"),
    "checkout.clearing.cryptogram": ("verify_arqc",),
    "checkout.clearing.participants": ("Scheme",),
    "checkout.clearing.hsm.cryptogram": ("atc_verdict", "verify_arqc"),
    "checkout.clearing.hsm.keystore": ("KeyStore",),
    "checkout.clearing.iso8583.codec": ("pack", "unpack"),
    "checkout.clearing.iso8583.field_map": ("fields_of", "question_of"),
    "checkout.webhooks.signing": ("TakenIds", "WebhookRefused", "new_secret", "sign", "verify"),
}
BLOCKED_IMPORT = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked here", name=name)

sys.meta_path.insert(0, Blocked())
for name in BLOCKED:
    sys.modules.pop(name, None)
module = importlib.import_module(sys.argv[1])
for name in sys.argv[2:]:
    getattr(module, name)
"""


@pytest.mark.parametrize("path", PUBLIC)
def test_public_path_imports_without_heavy_parts_and_on_windows(path: str) -> None:
    code = f"BLOCKED = {HEAVY + POSIX!r}\n{BLOCKED_IMPORT}"
    done = subprocess.run(
        [sys.executable, "-c", code, path, *PUBLIC[path]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_blocked_module_cannot_be_imported() -> None:
    code = f"BLOCKED = {HEAVY + POSIX!r}\n{BLOCKED_IMPORT}"
    done = subprocess.run(
        [sys.executable, "-c", code, "checkout.database"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and "sqlalchemy is blocked here" in done.stderr
