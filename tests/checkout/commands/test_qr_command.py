"""`checkout qr make` and `qr read`, as another program calls them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkout.acceptance.qr.link import parse_link
from checkout.acceptance.qr.signed_payload import open_payload
from checkout.commands import cli, qr
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.shop.shop import Shop
from devices.qr import scanner
from devices.qr.symbol import fonts


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHECKOUT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    shop = Shop.open(Config(home=home), payers=DemoPayers())
    yield shop
    shop.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = cli.main(["qr", *(str(each) for each in arguments)])
    except SystemExit as ended:
        status = int(str(ended.code))
    written = capsys.readouterr()
    return status, written.out, written.err


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_link_is_written_for_an_order_that_can_be_paid(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = tmp_path / f"code.{ending}"
    status, output, _ = run(capsys, "make", "--amount", "12.80", "--out", out)
    assert status == 0
    (found,) = scanner.read(out)
    assert found.text in output
    lookup = shop.orders.resolve_code(parse_link(found.text).code)
    assert lookup.status == "live"
    assert (lookup.order.amount_minor, lookup.order.currency) == (1280, "CNY")


def test_the_emv_form_carries_amount_and_proof(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "code.png"
    assert run(capsys, "make", "--amount", "12.80", "--format", "emv", "--out", out)[0] == 0
    (found,) = scanner.read(out)
    offer = open_payload(found.text, key=shop.code_key)
    assert str(offer.amount) == "CNY 12.80"
    assert shop.orders.resolve_code(offer.code).status == "live"
    status, output, _ = run(capsys, "read", out, "--json")
    read = json.loads(output)
    assert (status, read["kind"], read["verdict"]) == (0, "emv-mpm", "strict")
    assert read["fields"]["54"] == "12.80"


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_sticker_is_stored_in_the_shop_and_readable(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = tmp_path / f"sticker.{ending}"
    status, output, _ = run(capsys, "make", "--static", "--label", "door", "--out", out)
    assert status == 0
    picture = out
    if ending == "pdf":
        assert out.read_bytes().startswith(b"%PDF-")
        subprocess.run(
            ["pdftoppm", "-r", "100", "-png", str(out), str(tmp_path / "page")], check=True
        )
        picture = next(tmp_path.glob("page*.png"))
    texts = {found.text for found in scanner.read(picture)}
    assert len(texts) == 1
    text = texts.pop()
    assert text in output
    (stored,) = shop.static_codes.all()
    assert (stored.code, stored.label, stored.amount) == (parse_link(text).code, "door", None)


def test_a_sticker_may_ask_for_an_amount_of_its_own(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tea.png"
    made = ("make", "--static", "--amount", "15", "--format", "emv", "--out", out)
    assert run(capsys, *made)[0] == 0
    offer = open_payload(scanner.read(out)[0].text, key=shop.code_key)
    assert (str(offer.amount), offer.dynamic) == ("CNY 15.00", False)
    (stored,) = shop.static_codes.all()
    assert (stored.code, stored.amount_minor) == (offer.code, 1500)


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_a_sticker_that_no_font_here_writes_is_an_error_and_is_revoked(
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: str,
) -> None:
    monkeypatch.setattr(fonts, "_KNOWN_FONTS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    fonts.font_for.cache_clear()
    out = tmp_path / f"sticker.{ending}"
    status, output, error = run(capsys, "make", "--static", "--label", "门口", "--out", out)
    assert (status, output, error.count("\n")) == (1, "", 1)
    assert "sticker: no font" in error
    assert not out.exists()
    assert [each.revoked for each in shop.static_codes.all()] == [True]


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("--amount", "1", "--out", "code.gif"), 1, "out:"),
        (("--amount", "1", "--out", "code.pdf"), 1, "out:"),
        (("--amount", "1", "--out", "missing/code.png"), 1, "missing/code.png"),
        (("--static", "--out", "missing/code.png"), 1, "missing/code.png"),
        (("--static", "--label", "x" * 26, "--out", "code.png"), 1, "label:"),
        (("--out", "code.png"), 2, "amount:"),
        (("--amount", "1.234", "--out", "code.png"), 2, "amount:"),
        (("--amount", "0", "--out", "code.png"), 2, "amount:"),
        (("--amount", "1", "--currency", "XYZ", "--out", "code.png"), 2, "currency:"),
        (("--amount", "1"), 2, "--out"),
        (("--amount", "1", "--format", "ascii", "--out", "code.png"), 2, "--format"),
    ],
)
def test_what_cannot_be_made_is_an_error_in_one_line_and_leaves_nothing(
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, output, error = run(capsys, "make", *arguments)
    assert ended == status, error
    assert output == ""
    assert error.count("\n") == 1
    assert named in error
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert all(each.revoked for each in shop.static_codes.all())
    assert all(str(order.state) == "cancelled" for order in shop.orders.recent())


def test_what_cannot_be_read_is_an_error_in_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, error = run(capsys, "read", tmp_path / "missing.png")
    assert (status, output, error.count("\n")) == (1, "", 1)
    status, output, _ = run(capsys, "read", "000201", "--json")
    assert (status, json.loads(output)["verdict"]) == (3, "invalid")


def corpus(mode: str) -> list[dict[str, Any]]:
    """The payloads of `mpm` or `cpm` in the project's corpus, and in a shared one beside it."""
    root = Path(__file__).resolve().parents[3]
    cases = json.loads((root / "tests" / "vectors" / "qr" / f"{mode}.json").read_text("utf-8"))
    shared = root.parent / "shared" / "vectors" / "qr" / "corpus.json"
    return cases + (json.loads(shared.read_text("utf-8"))[mode] if shared.exists() else [])


@pytest.mark.parametrize("mode", ["mpm", "cpm"])
def test_read_names_kind_and_verdict_of_every_payload_of_the_corpus(mode: str) -> None:
    for case in corpus(mode):
        found = qr.read(case["payload"])
        verdict = case.get("verdict", "strict" if case.get("valid") else "invalid")
        if found.reading.kind == f"emv-{mode}":
            assert found.reading.verdict == verdict, case["scheme"]
        else:  # its first object is missing, so nothing shows what it was meant to be
            assert verdict != "strict", case["scheme"]
            verdict = found.reading.verdict
        assert found.status == (0 if verdict == "strict" else 3)
        lenient = qr.read(case["payload"], lenient=True)
        assert lenient.status == (3 if verdict == "invalid" else 0)
