"""The address printed for phones is the one that phones can reach."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import ifaddr
import pytest

from checkout import addresses
from checkout.addresses import Interface, rank


def interface(name: str, address: str) -> Interface:
    return Interface(name=name, address=address)


def test_default_route_comes_first_and_loopback_never() -> None:
    found = [
        interface("lo", "127.0.0.1"),
        interface("eth1", "10.1.0.4"),
        interface("wlan0", "192.168.1.20"),
        interface("lo", "::1"),
        interface("wlan0", "fe80::1"),
    ]
    assert rank(found, ["192.168.1.20"]) == ("192.168.1.20", "10.1.0.4")


def test_tunnels_and_bridges_come_last_even_as_default_route() -> None:
    found = [
        interface("docker0", "172.17.0.1"),
        interface("tun0", "10.8.0.2"),
        interface("wlan0", "192.168.1.20"),
        interface("wlan0", "fd00::20"),
    ]
    assert rank(found, ["10.8.0.2"]) == ("192.168.1.20", "fd00::20", "10.8.0.2", "172.17.0.1")


def test_private_before_public_and_an_unlisted_default_is_kept() -> None:
    found = [interface("eth0", "8.8.4.4"), interface("eth1", "10.0.0.1")]
    assert rank(found, []) == ("10.0.0.1", "8.8.4.4")
    assert rank([], ["10.0.0.9"]) == ("10.0.0.9",)


def test_machine_without_a_network_has_only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "interfaces", lambda: (interface("lo", "127.0.0.1"),))
    monkeypatch.setattr(addresses, "_default_sources", lambda: ())
    assert addresses.lan_addresses() == ()
    assert addresses.lan_address() == "127.0.0.1"


def test_every_address_found_can_be_bound_on_this_machine() -> None:
    assert "127.0.0.1" in {each.address for each in addresses.interfaces()}
    for text in addresses.lan_addresses():
        family = socket.AF_INET6 if ipaddress.ip_address(text).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            bound.bind((text, 0))


def test_temporary_ipv6_addresses_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ips = [("fd00::20", 0, 0), ("fd00::99", 0, 0)]
    adapter = ifaddr.Adapter("wlan0", "wlan0", [ifaddr.IP(ip, 64, "wlan0") for ip in ips])
    listing = tmp_path / "if_inet6"
    listing.write_text(
        "fd000000000000000000000000000020 02 40 00 80    wlan0\n"
        "fd000000000000000000000000000099 02 40 00 01    wlan0\n"
    )
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter])
    monkeypatch.setattr(addresses, "_IF_INET6", listing)
    assert addresses.interfaces() == (interface("wlan0", "fd00::20"),)


def test_a_machine_whose_interfaces_cannot_be_listed_still_has_its_default_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> list[ifaddr.Adapter]:
        raise OSError("no netlink here")

    monkeypatch.setattr(ifaddr, "get_adapters", broken)
    monkeypatch.setattr(addresses, "_default_sources", lambda: ("10.0.0.9",))
    assert addresses.lan_addresses() == ("10.0.0.9",)
