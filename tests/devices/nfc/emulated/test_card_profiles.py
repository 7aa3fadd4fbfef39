"""Profiles: those of the package are valid, and an error names the field."""

from __future__ import annotations

import pytest

from devices.nfc.emulated import ProfileError, load_profile, profile_names
from devices.nfc.emulated.profile import luhn_valid
from devices.nfc.emulated.profile_files import profile_from

NAMES = {
    "unionpay-debit": "9999011000000019",
    "unionpay-credit": "9999031000000017",
    "unionpay-class2": "9999021000000018",
    "unionpay-class3": "9999021000000026",
    "hce-phone": "9999701000000015",
    "se-phone": "9999701000000023",
    "visa-abroad": "9999041000000016",
    "mastercard-abroad": "9999051000000015",
    "expired": "9999011000000027",
    "blocked": "9999011000000035",
    "empty": "9999011000000043",
    "tampered-certificate": "9999011000000050",
    "altered-data": "9999011000000068",
    "replayed-cryptogram": "9999011000000076",
    "pulled-away": "9999011000000084",
    "slow": "9999011000000092",
    "type-b": "9999011000000100",
}
MINIMAL = {"title": "T", "purpose": "P.", "scheme": "unionpay", "pan": "9999011000000019"}


def test_every_demo_card_has_its_number():
    assert {name: load_profile(name).pan for name in profile_names()} == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_profiles_survive_being_written_and_read(name):
    profile = load_profile(name)
    assert profile_from(profile.as_table(), name="other") == profile
    assert luhn_valid(profile.pan)
    assert profile.purpose.endswith(".")


def test_numbers_are_masked_for_people():
    assert load_profile("unionpay-debit").masked_pan == "999901******0019"


def test_a_profile_may_be_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('title="T"\npurpose="P."\nscheme="unionpay"\npan="9999011000000019"\n')
    assert load_profile(path).name == "mine"
    assert load_profile(str(path)).label == "UnionPay Debit"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pan": "9999011000000018"}, "pan"),
        ({"pan": 9999011000000019}, "pan"),
        ({"scheme": "amex"}, "scheme"),
        ({"oda": "cda"}, "oda"),
        ({"oda": "sda", "scheme": "visa"}, "oda"),
        ({"gpo_format": 1}, "gpo_format"),
        ({"kind": "phone"}, "phone"),
        ({"expiry": "3013"}, "expiry"),
        ({"colour": "red"}, "colour"),
        ({"cvms": ["pin"]}, "cvms"),
        ({"air": {"technology": "A", "uid": "0102030405"}}, "air.uid"),
        ({"air": {"ats": "0678807102"}}, "air.ats"),
        ({"air": {"shape": "round"}}, "air.shape"),
        ({"offline": {"single_minor": 5}}, "offline.cumulative_minor"),
        ({"behaviour": {"delays_ms": [1, -1]}}, "behaviour.delays_ms"),
        ({"trouble": {"tamper": "all"}}, "trouble.tamper"),
        ({"priority": True}, "priority"),
    ],
)
def test_a_wrong_profile_names_its_field(change, field):
    with pytest.raises(ProfileError) as caught:
        profile_from(MINIMAL | change, name="x")
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ProfileError, match=r"no card named 'golden'.*unionpay-debit"):
        load_profile("golden")


def test_a_missing_or_broken_file_is_one_line(tmp_path):
    with pytest.raises(ProfileError, match="can't be read"):
        load_profile(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("pan = ")
    with pytest.raises(ProfileError, match="not TOML"):
        load_profile(broken)
