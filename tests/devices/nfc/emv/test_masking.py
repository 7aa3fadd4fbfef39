"""Card data is masked wherever people may see it."""

from __future__ import annotations

import pytest

from devices.nfc.emv.ber_tlv import parse, walk
from devices.nfc.emv.masking import mask_body, mask_command, mask_pan, pans_in
from tests.devices.nfc.kernel.kernel_cards import tlv, track2

PAN = "6228000100001117"


def test_a_pan_shows_six_and_four() -> None:
    assert mask_pan(PAN) == "622800******1117"
    assert mask_pan("1234567") == "*******"


def test_everything_sensitive_goes_and_the_structure_stays() -> None:
    body = tlv(
        "70",
        tlv("5A", PAN),
        tlv("57", track2(PAN)),
        tlv("5F20", b"DOE/JANE"),
        tlv("56", b"B" + PAN.encode() + b"^DOE/JANE^"),
        tlv("9F1F", b"123456"),
        tlv("9F6B", track2(PAN)),
        tlv("9F46", bytes(range(1, 97))),
        tlv("9F26", "1122334455667788"),
    )
    masked = mask_body(body, {PAN})
    assert len(masked) == len(body)
    before = {node.tag: node.value for node in walk(parse(body))}
    after = {node.tag: node.value for node in walk(parse(masked))}
    assert list(before) == list(after)
    assert after[0x5A].hex() == "6228000000001117"
    assert after[0x57].hex().upper().startswith("6228000000001117D3012201")
    assert after[0x5F20] == b"*" * 8
    assert set(after[0x9F46]) == {0}
    assert after[0x9F26] == before[0x9F26]
    for secret in (bytes.fromhex(PAN), PAN.encode(), b"JANE"):
        assert secret not in masked


def test_the_number_is_found_wherever_its_digits_stand() -> None:
    hidden = tlv(
        "70", tlv("DF01", b"\x0f" + bytes.fromhex("0" + PAN + "0")), tlv("DF02", PAN.encode())
    )
    masked = mask_body(hidden, {PAN})
    assert PAN not in masked.hex()
    assert PAN.encode() not in masked


def test_a_broken_template_is_blanked_whole() -> None:
    broken = tlv("70", tlv("5A", PAN))[:-1]
    assert mask_body(broken, set()) == bytes(len(broken))


@pytest.mark.parametrize(
    "around",
    [
        "5C19 {}",  # another tag where the template should stand
        "771B 82022000C9 {}",  # the tag that follows was hit, and took the next in
        "{}",
    ],
)
def test_a_number_in_tlv_that_hides_its_tag_is_masked(around: str) -> None:
    track = "5711 6212345678901234567D30122200000000"
    body = bytes.fromhex(around.format(track))
    assert len(mask_body(body, [])) == len(body)
    for shown in (mask_body(body, []), mask_body(body, pans_in([body]))):
        assert "6212345678901234567" not in shown.hex().upper()
        assert "345678901234567" not in shown.hex().upper()


def test_what_is_no_template_is_left_alone() -> None:
    assert mask_body(b"\x83\x02\x01\x02", set()) == b"\x83\x02\x01\x02"


def test_numbers_are_gathered_from_number_and_tracks() -> None:
    other = "9999011000000019"
    assert pans_in([tlv("70", tlv("5A", PAN)), tlv("77", tlv("57", track2(other)))]) == {PAN, other}


@pytest.mark.parametrize(
    "tag",
    [
        "9F61",  # in PBOC 3.0 the cardholder's document number
        "5F53",  # IBAN
        "9F24",  # payment account reference
        "5F54",
        "9F05",
        "9F48",
        "9F5E",
        "9F7C",
        "9F7F",
        "93",
        "C1",
        "DF01",
        "DF8101",
    ],
)
def test_a_value_that_is_not_known_to_be_harmless_is_masked(tag: str) -> None:
    secret = b"310101199003071234"
    for around in ("70", "77", "BF0C"):
        masked = mask_body(tlv(around, tlv("82", "2000"), tlv(tag, secret)), set())
        assert masked == tlv(around, tlv("82", "2000"), tlv(tag, bytes(len(secret))))
    assert mask_body(tlv(tag, secret), set()) == tlv(tag, bytes(len(secret)))


def test_an_issuers_own_bytes_in_its_application_data_are_masked() -> None:
    known, own = bytes.fromhex("07010103A0000001"), b"310101199003071234"
    assert mask_body(tlv("77", tlv("9F10", known + own)), set()) == tlv(
        "77", tlv("9F10", known + bytes(len(own)))
    )
    cryptogram = bytes.fromhex("80") + b"\x00\x07" + b"\x11" * 8
    assert mask_body(tlv("80", cryptogram + known + own), set()) == tlv(
        "80", cryptogram + known + bytes(len(own))
    )


def test_a_file_locator_in_format_1_is_not_masked() -> None:
    body = tlv("80", bytes.fromhex("2000" + "08010200" * 8))
    assert mask_body(body, set()) == body


def test_third_party_data_are_masked_and_a_form_factor_is_not() -> None:
    assert mask_body(tlv("77", tlv("9F6E", "20700000")), set()).hex().endswith("20700000")
    assert mask_body(tlv("77", tlv("9F6E", "0156" + "11" * 20)), set()).hex().endswith("00" * 22)


def test_a_response_that_is_no_tlv_is_blanked() -> None:
    assert mask_body(b"310101199003071234", set()) == bytes(18)


def test_the_terminals_own_values_in_a_command_stay() -> None:
    values = bytes.fromhex("000000001280 000000000000 0156 0000000000 0156 301130 00 9F610412")
    assert mask_command(values, set()) == values
    assert PAN not in mask_command(b"\x00" + bytes.fromhex(PAN), {PAN}).hex()
