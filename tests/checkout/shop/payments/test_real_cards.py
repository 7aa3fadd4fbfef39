"""A card that is not the demo's: tapped at a whole checkout, it leaves a hash and four digits.

A UnionPay test card from the vectors stands for a real one. It lies in a home of its own, on an
emulated PN532, so that the checkout's home holds only what the checkout stored of it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkout.clearing.queries import ClearingReader
from checkout.config import Config
from checkout.database import open_engine
from checkout.encryption import Seal
from devices.nfc.emulated import EmulatedCard
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from tests.checkout.serving import Serving
from tests.devices.nfc.emulated.cards_independent import flat
from tests.devices.nfc.emulated.cards_public import install_card
from tests.vectors.emv.cards import PersonalisedCard, unionpay_cards


@dataclass
class Foreign:
    """The card, the reader it is laid on, and what nobody may keep of it."""

    card: EmulatedCard
    emulator: Pn532Emulator
    pan: str
    secrets: dict[str, bytes]
    ca_key: dict[str, str]

    def present(self) -> None:
        self.emulator.present(self.card)


@pytest.fixture(params=list(unionpay_cards()), ids=lambda vector: vector.name)
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Foreign]:
    vector: PersonalisedCard = request.param
    card = install_card(vector, tmp_path / "card-home")
    found: dict[str, bytes] = {}
    for record in card._image.records.values():
        found |= flat(record)
    sensitive = {
        tag: value
        for tag in ("5A", "57", "5F20", "9F46", "9F1F", "56")
        if len(value := bytes(found.get(tag, b""))) >= 5
    }
    assert {"5A", "57", "9F46"} <= sensitive.keys()
    with Pn532Emulator() as emulator:
        yield Foreign(
            card=card,
            emulator=emulator,
            pan=card.profile.pan,
            secrets=sensitive,
            ca_key=vector.ca_key,
        )


def traces_of(foreign: Foreign, content: bytes) -> list[str]:
    """Which of the card's secrets stand in some bytes, in BCD at either nibble, hex or ASCII."""
    pan = foreign.pan
    found = []
    shown = content.hex()
    text = content.upper()
    if pan.encode() in content or pan in shown or pan.encode().hex() in shown:
        found.append("number")
    for masked in (pan[:6] + "*", pan[:6] + "0000", pan[:8]):
        if masked.encode() in content:
            found.append(f"number beginning {masked}")
    for tag, value in foreign.secrets.items():
        if value in content or value.hex().upper().encode() in text:
            found.append(tag)
        if tag == "57" and value.hex().upper().replace("D", "=").rstrip("F").encode() in text:
            found.append("track 2 as text")
    return found


def until(condition, within_s: float = 30.0):  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError("it did not come about in time")


def page(serving: Serving, path: str, form: dict[str, str] | None = None) -> str:
    content = None if form is None else urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{serving.origin}{path}", content, timeout=30) as answer:
        return str(answer.read().decode())


def lift(foreign: Foreign, serving: Serving) -> None:
    """Take the card away, and let the terminal notice: one presentation is one tap."""
    foreign.emulator.remove()
    shown = "SELECT state FROM shop_reader"
    with closing(sqlite3.connect(serving.home / "checkout.db")) as rows:
        until(lambda: rows.execute(shown).fetchone()[0] in ("ready", "idle"))


def payments(serving: Serving, order: dict) -> list[dict]:  # type: ignore[type-arg]
    with closing(sqlite3.connect(serving.home / "checkout.db")) as rows:
        ids = rows.execute(
            "SELECT id FROM shop_payments WHERE order_id = ? AND finished_at IS NOT NULL "
            "AND state <> 'pending' "
            "ORDER BY started_at",
            (order["id"],),
        ).fetchall()
    return [serving.call("GET", f"/payments/{each}")[1] for (each,) in ids]


def test_a_real_card_is_declined_then_enrolled_and_leaves_nothing_behind(
    foreign: Foreign, tmp_path: Path
) -> None:
    seen: list[str] = []
    serving = Serving(tmp_path / "home", "--reader", foreign.emulator.path)
    try:
        order = serving.order()
        path = f"/orders/{order['id']}"
        foreign.present()
        (declined,) = until(lambda: payments(serving, order))
        lift(foreign, serving)
        assert (declined["state"], declined["response_code"]) == ("declined", "14"), declined
        assert declined["pan"] == "*" * (len(foreign.pan) - 4) + foreign.pan[-4:]
        assert "real card" in json.dumps(declined["steps"])
        seen += [json.dumps(declined), page(serving, path), page(serving, "/network")]
        assert "A real card" in seen[1]
        assert foreign.pan[-4:] in seen[1]

        # Not even a PIN would be asked of it, however much it is to pay.
        after = page(serving, f"{path}/enrol", {"payment": declined["id"]})
        assert 'data-enrolment="enrolled"' in after
        page(serving, f"{path}/enrol", {"payment": declined["id"]})  # twice is once
        foreign.present()
        paid = until(lambda: payments(serving, order)[1:])[0]
        lift(foreign, serving)
        assert paid["state"] == "paid", paid["response_code"]
        seen += [
            json.dumps(paid),
            page(serving, path),
            page(serving, f"/compare?left={paid['id']}"),
        ]
        assert "unverifiable" in seen[-2]
        assert "cannot be verified" in json.dumps(paid["steps"])

        large = serving.order(150_000)
        foreign.present()
        (over,) = until(lambda: payments(serving, large))
        lift(foreign, serving)
        assert (over["state"], over["response_code"]) == ("declined", "61")
    finally:
        serving.stop()
        serving.kill()
    seen.append(serving.said)
    for shown in seen:
        assert traces_of(foreign, shown.encode()) == []
    kept = [file for file in serving.home.rglob("*") if file.is_file()]
    assert any(file.name == "checkout.db" for file in kept)
    for file in kept:
        assert traces_of(foreign, file.read_bytes()) == [], file
    for plain in sealed_requests(serving.home):
        assert traces_of(foreign, plain) == []
        kept_request = json.loads(plain)
        assert kept_request["account"].startswith("999999")
        for name in ("track2", "icc", "expiry", "pan_sequence", "pin_block"):
            assert kept_request[name] is None
    engine = open_engine(Config(home=serving.home).database_url)
    sales = [entry for entry in ClearingReader(engine).entries() if entry.kind == "purchase"]
    engine.dispose()
    assert [entry.amount_minor for entry in sales] == [1280]
    forgotten = subprocess.run(
        [sys.executable, "-m", "checkout", "reset"],
        env=os.environ | {"CHECKOUT_HOME": str(serving.home)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert forgotten.returncode == 0
    assert not (serving.home / "checkout.db").exists()


def sealed_requests(home: Path) -> list[bytes]:
    with closing(sqlite3.connect(home / "checkout.db")) as rows:
        sealed = rows.execute(
            "SELECT sealed_request FROM shop_payments WHERE sealed_request IS NOT NULL"
        ).fetchall()
    assert sealed
    return [Seal(home).open(each) for (each,) in sealed]


def test_reading_one_shows_and_records_it_masked_and_the_record_replays(
    foreign: Foreign, tmp_path: Path
) -> None:
    keys, record = tmp_path / "ca.json", tmp_path / "tap.apdu"
    keys.write_text(json.dumps([foreign.ca_key]), encoding="utf-8")
    foreign.present()
    home = tmp_path / "home"
    live = tap(home, foreign.emulator.path, "--ca-keys", str(keys), "--record", str(record))
    assert live["outcome"] == "online-request"
    assert live["oda"]["result"] == "passed"
    assert live["pan"] == foreign.pan[:6] + "*" * (len(foreign.pan) - 10) + foreign.pan[-4:]
    for shown in (json.dumps(live).encode(), record.read_bytes()):
        kept = traces_of(foreign, shown)
        assert [one for one in kept if not one.startswith("number beginning")] == []
    replayed = tap(home, f"transcript:{record}", "--ca-keys", str(keys))
    assert replayed["outcome"] == live["outcome"]
    assert replayed["oda"] == {"method": "fDDA", "result": "not-performed", "reason": "masked"}
    for file in home.rglob("*"):
        if file.is_file():
            assert traces_of(foreign, file.read_bytes()) == [], file


def tap(home: Path, reader: str, *more: str) -> dict:  # type: ignore[type-arg]
    done = subprocess.run(
        [sys.executable, "-m", "checkout", "tap", "--reader", reader, "--json", *more],
        env=os.environ | {"CHECKOUT_HOME": str(home)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict = json.loads(done.stdout)  # type: ignore[type-arg]
    return result
