"""The house: rooms on floors, no circles, no crowded folder, and a picture that is true."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import rooms

#: More than this a folder does not hold; two more where they are one idea.
MOST_MODULES, MOST_OF_ONE_IDEA = 20, 22
MOST_ROOMS_IN_A_CHAIN = 11

#: Imports that the contracts in pyproject.toml refuse: the file, the line, the contract's name.
WRONG_IMPORTS = [
    ("checkout/acceptance/contract.py", "import checkout.shop", "rooms of the checkout"),
    (
        "checkout/shop/payments/reversals.py",
        "import checkout.comparison.results",
        "rooms of the checkout",
    ),
    ("checkout/shop/shop.py", "import checkout.demo.payers", "rooms of the checkout"),
    (
        "checkout/clearing/ledger/ledger.py",
        "import checkout.clearing.switch.server",
        "rooms of clearing",
    ),
    (
        "checkout/clearing/authorisation/purchase.py",
        "import checkout.clearing.pipeline.decoding",
        "rooms of clearing",
    ),
    ("checkout/shop/orders/states.py", "import checkout.shop.payments", "rooms of the shop"),
    (
        "checkout/acceptance/qr/link.py",
        "import checkout.acceptance.nfc.authorization",
        "twins of acceptance",
    ),
    ("devices/nfc/emulated/card/card.py", "import devices.nfc.emv.ber_tlv", "emulated card"),
    ("devices/nfc/kernel/oda.py", "import devices.nfc.emulated", "kernel"),
    ("devices/qr/scanner.py", "import checkout.money", "Devices know nothing"),
    ("checkout/shop/webhooks/signing.py", "import checkout.shop.tables", "Signing"),
    ("devices/nfc/kernel/session.py", "import nfc", "nfcpy"),
]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's files, to be spoiled."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("checkout", "devices"):
        shutil.copytree(
            rooms.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(rooms.ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; "
            "import sys; sys.exit(lint_imports(no_cache=True))",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_contract_is_kept(copied: Path) -> None:
    status, output = lint(copied)
    assert status == 0, output


@pytest.mark.parametrize(
    ("file", "line", "contract"), WRONG_IMPORTS, ids=[case[0] for case in WRONG_IMPORTS]
)
def test_a_wrong_import_breaks_its_contract(
    copied: Path, file: str, line: str, contract: str
) -> None:
    path = copied / file
    sound = path.read_text("utf-8")
    path.write_text(f"{sound}\n{line}\n", encoding="utf-8")
    try:
        status, output = lint(copied)
    finally:
        path.write_text(sound, encoding="utf-8")
    assert status == 1, output
    broken = [one for one in output.splitlines() if one.endswith(" BROKEN")]
    assert any(contract in one for one in broken), output


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert rooms.circles(rooms.module_imports()) == []


def test_the_check_for_circles_finds_one() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert rooms.circles(graph) == [["a", "b", "c"]]


def test_a_chain_of_rooms_is_short() -> None:
    chain = rooms.longest_chain(rooms.room_imports("checkout"))
    assert len(chain) <= MOST_ROOMS_IN_A_CHAIN, " > ".join(chain)


def test_no_folder_is_crowded() -> None:
    crowded = {
        folder: count
        for folder, count in rooms.modules_in_folders().items()
        if count > MOST_MODULES
    }
    assert all(count <= MOST_OF_ONE_IDEA for count in crowded.values()), crowded


def test_the_picture_in_the_readme_shows_the_rooms_as_they_are() -> None:
    drawn = rooms.PICTURE.read_text("utf-8")
    assert drawn == rooms.picture(), "run `.venv/bin/python tests/rooms.py`"
    assert f"tests/{rooms.PICTURE.name}" in (rooms.ROOT / "README.md").read_text("utf-8")
