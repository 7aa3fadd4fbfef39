"""What goes past the terminal: of a demo card everything, of a real card a hash and four digits."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from checkout.acceptance.nfc import terminal as tap
from checkout.clearing.issuing.accounts import luhn_valid
from checkout.encryption import Seal
from checkout.trace import Trace
from devices.nfc.emulated import ensure_authority, in_process, open_card
from devices.nfc.emv.apdu import Exchange
from devices.nfc.kernel import Cryptogram, Kernel, Outcome, TapResult, TerminalError

REAL = "6200000000000005"
DEMO = "9999011000000019"


def result(pan: str, outcome: Outcome = Outcome.ONLINE_REQUEST) -> TapResult:
    body = bytes.fromhex(f"700A5A08{pan}9000")
    return TapResult(
        outcome=outcome,
        reason="",
        kernel=Kernel.UNIONPAY,
        pan=pan,
        psn="01",
        expiry="3012",
        track2=f"{pan}=30122010000",
        cryptogram=Cryptogram.ARQC,
        icc=b"\x9f\x26\x08" + bytes(8),
        exchanges=(
            Exchange(
                name="READ RECORD", command=b"\x00\xb2\x01\x0c\x00", response=body, elapsed_ms=1
            ),
        ),
    )


def test_a_demo_card_goes_on_whole() -> None:
    found = tap.evidence(result(DEMO))
    assert found is not None
    assert (found.pan, found.shown, found.real) == (DEMO, "999901******0019", False)
    assert found.track2 and found.icc and found.expiry == "3012"


def test_a_real_card_becomes_a_surrogate_and_four_digits(tmp_path: Path) -> None:
    found = tap.evidence(result(REAL), Seal(tmp_path).fingerprint)
    assert found is not None
    assert found.real
    assert found.pan is not None
    assert found.pan.startswith("999999")
    assert luhn_valid(found.pan)
    assert found.shown == "************0005"
    assert (found.expiry, found.pan_sequence, found.track2, found.icc) == (None, None, None, b"")
    assert REAL not in repr(found)


def test_the_surrogate_is_the_same_in_one_home_and_another_in_the_next(tmp_path: Path) -> None:
    def of(home: str) -> str | None:
        found = tap.evidence(result(REAL), Seal(tmp_path / home).fingerprint)
        return found.pan if found else None

    assert of("one") == of("one")
    assert of("one") != of("two")
    once, again = tap.evidence(result(REAL)), tap.evidence(result(REAL))
    assert once and again and once.pan != again.pan  # no key given: nobody makes it again


def test_a_number_in_the_range_of_surrogates_is_not_taken_at_its_word() -> None:
    claimed = "9999991234567894"
    found = tap.evidence(result(claimed))
    assert found is not None
    assert found.real
    assert found.pan != claimed


def test_what_a_real_card_approved_offline_is_asked_online() -> None:
    demo = tap.evidence(result(DEMO, Outcome.OFFLINE_APPROVED))
    real = tap.evidence(result(REAL, Outcome.OFFLINE_APPROVED))
    refused = tap.evidence(result(REAL, Outcome.OFFLINE_DECLINED))
    assert demo and real and refused
    assert (demo.decision, real.decision, refused.decision) == (
        "approved-offline",
        "online",
        "declined",
    )


def test_the_story_tells_of_a_real_card_names_sizes_and_status_only() -> None:
    for pan, content in ((DEMO, True), (REAL, False)):
        trace = Trace()
        tap.record_steps(trace, result(pan), 0.0)
        first = trace.steps()[0]
        assert (first.bytes_sent, first.bytes_received) == (5, 14)
        assert ("response" in first.detail) is content
        told = "".join(str(step.as_json()) for step in trace.steps())
        assert ("cannot be verified" in told) is not content
        assert "620000" not in told


class Plugged:
    """A reader that is not emulated, for what the terminal tells cards on it."""

    emulated = False


@pytest.fixture
def terminal(tmp_path: Path) -> tap.Terminal:
    return tap.load(tmp_path, clock=lambda: datetime.now(UTC))


def test_real_cards_are_always_asked_to_go_online(terminal: tap.Terminal) -> None:
    floors = {lim.floor for app in terminal.data.applications for lim in app.limits}
    asked = terminal.data_for(Plugged())  # type: ignore[arg-type]
    assert max(floors) > 0  # the purse of the emulated cards may pay offline
    assert {lim.floor for app in asked.applications for lim in app.limits} == {0}
    assert terminal.data_for(None) is terminal.data


def test_a_file_of_ca_keys_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(b"\xef\xbb\xbf[]")
    told = tap.load(tmp_path, clock=lambda: datetime.now(UTC), ca_keys=file)
    assert not told.ca_keys.keys


def test_ca_keys_that_come_or_change_later_count_from_the_next_tap_on(tmp_path: Path) -> None:
    terminal = tap.load(tmp_path, clock=lambda: datetime.now(UTC))
    assert not terminal.ca_keys.keys
    ensure_authority(tmp_path)
    first = terminal.ca_keys
    assert len(first.keys) == 3
    assert all(key.own for key in first.keys.values())
    (tmp_path / "keys" / "ca.json").unlink()
    ensure_authority(tmp_path)
    second = terminal.ca_keys
    assert second.keys.keys() == first.keys.keys()
    assert all(second.keys[name].modulus != first.keys[name].modulus for name in first.keys)


@pytest.mark.parametrize("content", [None, b"[{]", b"\xff"])
def test_ca_keys_stay_in_use_where_their_file_is_lost_or_broken(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = ensure_authority(tmp_path).public_file
    terminal = tap.load(tmp_path, clock=lambda: datetime.now(UTC))
    before = terminal.ca_keys
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert terminal.ca_keys == terminal.ca_keys == before
    assert len(before.keys) == 3
    assert [record.message for record in caplog.records if "ca-public.json" in record.message] == [
        caplog.records[-1].message
    ]


def test_an_operators_own_file_in_the_home_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    text = resources.files("devices.nfc.kernel").joinpath("terminal_china.toml").read_text("utf-8")
    (tmp_path / "terminal.toml").write_text(text.replace('"LANE0001"', '"MINE0001"'), "utf-8")
    mine = tap.load(tmp_path, clock=lambda: datetime.now(UTC))
    assert mine.data.ifd_serial == "MINE0001"
    assert mine.data_for(Plugged()) is mine.data  # type: ignore[arg-type]
    named = tap.load(tmp_path, clock=lambda: datetime.now(UTC), terminal="abroad")
    assert named.data.ifd_serial != "MINE0001"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = ", "TOML"),
        (b'[terminal]\ncountry = "15"', "currency"),
        (b"", "[terminal]"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_wrong_with_that_file_is_one_line_that_names_it(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "terminal.toml").write_bytes(content)
    with pytest.raises(TerminalError) as error:
        tap.load(tmp_path, clock=lambda: datetime.now(UTC))
    assert "terminal.toml" in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("right", "typo", "message"),
    [
        ("merchant_name", "merchant_nam", "merchant_nam: no such key here; did you mean"),
        ("partial_match = true", 'partial_match = "no"', "partial_match: expected true or false"),
        ("cvm_required = 100000", "cvm_reqired = 100000", "did you mean cvm_required"),
        ("[[application]]", "[[applications]]", "did you mean application"),
        ("tac_denial", "tac_deny", "did you mean tac_denial"),
        ('category_code = "', 'category_code = "zz', "category_code: expected 1 bytes in hex"),
    ],
)
def test_a_typo_in_that_file_is_one_line_with_file_and_key(
    tmp_path: Path, right: str, typo: str, message: str
) -> None:
    text = resources.files("devices.nfc.kernel").joinpath("terminal_china.toml").read_text("utf-8")
    assert right in text
    (tmp_path / "terminal.toml").write_text(text.replace(right, typo), "utf-8")
    with pytest.raises(TerminalError) as refusal:
        tap.load(tmp_path, clock=lambda: datetime.now(UTC))
    assert str(refusal.value).startswith("terminal.toml: ")
    assert message in str(refusal.value)


def test_a_folder_in_its_place_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "terminal.toml").mkdir()
    with pytest.raises(TerminalError, match=r"terminal\.toml"):
        tap.load(tmp_path, clock=lambda: datetime.now(UTC))


def test_limits_of_the_own_file_decide_when_a_pin_is_asked(tmp_path: Path) -> None:
    from checkout.demo.payers import make_card

    make_card("unionpay-debit", tmp_path)
    text = resources.files("devices.nfc.kernel").joinpath("terminal_china.toml").read_text("utf-8")
    (tmp_path / "terminal.toml").write_text(
        text.replace("cvm_required = 100000", "cvm_required = 500"), "utf-8"
    )
    terminal = tap.load(tmp_path, clock=lambda: datetime.now(UTC))
    reader = in_process(open_card("unionpay-debit", tmp_path))
    card = reader.wait_for_card(1)
    assert card is not None
    asked = tap.walk(terminal, card, tap.purchase(terminal, 1280, "CNY"), reader=reader)
    reader.close()
    assert asked.online_pin_required
