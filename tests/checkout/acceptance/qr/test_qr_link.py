"""Links: short, upper case, unguessable, and understood in any case."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from checkout.acceptance.qr import link
from checkout.acceptance.qr.link import LinkError
from devices.qr.symbol.rendering import modules


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=16))
def test_code_carries_sixty_four_random_bits_in_upper_case(random_bytes: bytes) -> None:
    code = link.new_code(random_bytes)
    assert len(code) == 13
    assert link.normalise_code(code.lower()) == code
    other = bytes([random_bytes[0] ^ 1]) + random_bytes[1:]
    assert link.new_code(other) != code


def test_code_typed_by_hand_is_understood() -> None:
    code = "OIBOABCDEFGHJ"
    assert link.normalise_code(" 01b0-abcd efghj ") == code


@pytest.mark.parametrize("text", ["", "ABC", "ABCDEFGHIJKLMN", "ABCDEFGHIJKL9", "ＡBCDEFGHIJKLM"])
def test_what_cannot_be_a_code_is_refused(text: str) -> None:
    with pytest.raises(LinkError, match=r"^code: "):
        link.normalise_code(text)


def test_too_few_random_bytes_are_refused() -> None:
    with pytest.raises(LinkError, match=r"^code: "):
        link.new_code(b"1234567")


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://192.168.1.5:8000", "HTTP://192.168.1.5:8000/P/ABCDEFGHIJKLM"),
        ("http://192.168.1.5:80/", "HTTP://192.168.1.5/P/ABCDEFGHIJKLM"),
        ("https://pay.example/Shop/", "HTTPS://PAY.EXAMPLE/Shop/P/ABCDEFGHIJKLM"),
        ("http://[fd00::2]:8000", "HTTP://[FD00::2]:8000/P/ABCDEFGHIJKLM"),
        ("https://bücher.example", "HTTPS://XN--BCHER-KVA.EXAMPLE/P/ABCDEFGHIJKLM"),
    ],
)
def test_link_is_upper_case_and_comes_apart_again(base: str, expected: str) -> None:
    built = link.build_link(base, "abcdefghijklm")
    assert built == expected
    assert link.parse_link(built).code == "ABCDEFGHIJKLM"
    assert link.belongs_to(link.parse_link(built), (base,))


def test_link_on_a_lan_is_a_small_symbol() -> None:
    built = link.build_link("http://192.168.100.100:8000", "ABCDEFGHIJKLM")
    assert len(modules(built)) == 29
    assert len(modules(link.build_link("http://10.0.0.7", "ABCDEFGHIJKLM"))) == 25


def test_either_case_of_the_path_is_the_same_link() -> None:
    upper = link.parse_link("HTTP://10.0.0.7:8000/P/ABCDEFGHIJKLM")
    lower = link.parse_link("http://10.0.0.7:8000/p/abcdefghijklm")
    assert upper == lower


def test_strangers_link_does_not_belong_to_the_shop() -> None:
    shop = ("http://192.168.1.5:8000", "http://localhost:8000")
    for text in (
        "HTTP://192.168.1.6:8000/P/ABCDEFGHIJKLM",
        "HTTP://192.168.1.5:8001/P/ABCDEFGHIJKLM",
        "HTTPS://192.168.1.5:8000/P/ABCDEFGHIJKLM",
        "HTTP://192.168.1.5:8000/x/P/ABCDEFGHIJKLM",
    ):
        assert not link.belongs_to(link.parse_link(text), shop)
    assert link.belongs_to(link.parse_link("http://192.168.1.5:8000/p/ABCDEFGHIJKLM"), shop)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "weixin://wxpay/bizpayurl?pr=x",
        "http:///P/ABCDEFGHIJKLM",
        "http://host/ABCDEFGHIJKLM",
        "http://host/p/short",
        "http://host:99999/p/ABCDEFGHIJKLM",
        "http://shop@evil.example/p/ABCDEFGHIJKLM",
        "http://[::1/p/ABCDEFGHIJKLM",
    ],
)
def test_other_texts_are_no_links(text: str) -> None:
    assert not link.is_link(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_link_or_refused(text: str) -> None:
    for candidate in (text, "http://" + text, f"http://{text}/p/ABCDEFGHIJKLM"):
        link.is_link(candidate)


def test_base_url_brackets_ipv6_and_leaves_out_default_ports() -> None:
    assert link.base_url("::1", 8000) == "http://[::1]:8000"
    assert link.base_url("10.0.0.7", 443, https=True) == "https://10.0.0.7"
    with pytest.raises(LinkError, match=r"^port: "):
        link.base_url("10.0.0.7", 0)
