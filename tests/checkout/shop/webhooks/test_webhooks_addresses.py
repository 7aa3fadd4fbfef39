"""Which URLs may be sent to."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, strategies as st

from checkout.addresses import lan_address
from checkout.errors import ShopError
from checkout.shop.webhooks.addresses import resolve, target_of
from checkout.shop.webhooks.http import post


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://shop.example/hooks?from=checkout", "shop.example", "/hooks?from=checkout"),
        ("HTTPS://shop.example", "shop.example", "/"),
        ("https://8.8.8.8:8443/", "8.8.8.8:8443", "/"),
        ("http://127.0.0.1:9000/", "127.0.0.1:9000", "/"),
        ("http://[::1]:9000/", "[::1]:9000", "/"),
        ("http://[fd00::1]/", "[fd00::1]", "/"),
        ("http://192.168.1.7/a", "192.168.1.7", "/a"),
        ("http://[::ffff:10.0.0.1]/", "[::ffff:10.0.0.1]", "/"),
        ("http://localhost:80/", "localhost", "/"),
        ("http://till.local/", "till.local", "/"),
        ("http://backend:3000/", "backend:3000", "/"),
    ],
)
def test_these_are_taken(url: str, authority: str, path: str) -> None:
    target = target_of(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "1 to 500"),
        ("https://shop.example/" + "a" * 500, "1 to 500"),
        ("https://shop.example/a b", "visible ASCII"),
        ("https://shop.example/\r\nX: y", "visible ASCII"),
        ("https://店.example/", "visible ASCII"),
        ("ftp://shop.example/", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("shop.example", "http:// or https://"),
        ("https://user:pw@shop.example/", "user name or password"),
        ("https://@shop.example/", "user name or password"),
        ("https://shop.example/#top", "fragment"),
        ("https://", "host name"),
        ("https://shop.example:0/", "port"),
        ("https://shop.example:99999/", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://exa$mple/", "host name"),
        ("http://shop.example/", "plain http"),
        ("http://8.8.8.8/", "plain http"),
        ("http://[2001:4860:4860::8888]/", "plain http"),
        ("http://169.254.169.254/latest/", "link-local"),
        ("https://169.254.169.254/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
        ("https://[fe80::1]/", "link-local"),
        ("http://0.0.0.0/", "unspecified"),
        ("http://[64:ff9b::7f00:1]/", "stand for IPv4"),
        ("https://[64:ff9b:1::a00:1]/", "stand for IPv4"),
        ("https://[2002:7f00:1::]/", "stand for IPv4"),
        ("https://[2001:0:7f00:1::1]/", "stand for IPv4"),
        ("http://[::7f00:2]/", "stand for IPv4"),
        ("https://[fd00:ec2::254]/", "credentials"),
        ("https://224.0.0.1/", "multicast"),
    ],
)
def test_these_are_refused_in_one_line(url: str, why: str) -> None:
    with pytest.raises(ShopError) as caught:
        target_of(url)
    assert (caught.value.kind, caught.value.field) == ("url", "url")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text() | st.from_regex(r"https?://[!-~]{0,40}", fullmatch=True))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        target = target_of(text)
    except ShopError as error:
        assert error.kind == "url"
    else:
        assert target.host
        assert 1 <= target.port <= 65535
        assert target.path.startswith("/")


@pytest.mark.parametrize(
    "address", ["64:ff9b::7f00:1", "2002:a00:1::1", "::ffff:169.254.169.254", "fd00:ec2::254"]
)
def test_a_name_that_stands_for_a_forbidden_address_is_refused_when_it_is_called(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 443, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
    with pytest.raises(ShopError, match="no webhook is sent"):
        resolve(target_of("https://hooks.example/"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "{lan}"])
def test_nothing_is_sent_to_the_shops_own_port(host: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://{host.format(lan=lan_address())}:{port}/orders"
        outcome = post(url, {}, b"{}", own_ports=(port,), timeout_s=3)
        assert (outcome.status, outcome.reason) == (None, "no webhook is sent to the shop itself")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b""
