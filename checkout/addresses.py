"""The addresses at which a phone on the same network reaches this machine.

No packet leaves the machine. A datagram socket that is connected to an address of the
documentation ranges shows which source address the default route would use.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ifaddr

# Interfaces without phones: bridges of containers and virtual machines, tunnels.
_VIRTUAL = ("br-", "cni", "docker", "flannel", "lxc", "lxd", "podman", "tap", "tun", "utun",
            "veth", "vboxnet", "virbr", "vmnet", "wg", "zt", "tailscale", "ppp")  # fmt: skip
_DOCUMENTATION = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_IF_INET6 = Path("/proc/net/if_inet6")
_IFA_F_TEMPORARY = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One address of this machine and its network interface's name ("" where unknown)."""

    name: str
    address: str


def lan_addresses() -> tuple[str, ...]:
    """This machine's addresses that others can reach, the likeliest for a phone first.

    Empty where the machine has none but loopback and link-local ones.
    """
    return rank(interfaces(), _default_sources())


def lan_address() -> str:
    """The likeliest IPv4 address for a phone, else the likeliest IPv6 one, else 127.0.0.1."""
    found = lan_addresses()
    return next((a for a in found if ":" not in a), found[0] if found else "127.0.0.1")


def interfaces() -> tuple[Interface, ...]:
    """Every address of this machine, loopback included, as the system lists them.

    Without temporary IPv6 addresses (RFC 8981), which change from day to day.
    """
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:
        return ()
    temporary = _temporary_addresses()
    found = (
        Interface(name=adapter.nice_name, address=ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in adapters
        for ip in adapter.ips
    )
    return tuple(each for each in found if each.address not in temporary)


def rank(found: Iterable[Interface], default_sources: Sequence[str]) -> tuple[str, ...]:
    """Order reachable addresses: real links before virtual ones, IPv4 before IPv6,
    the default route's before others, private before public; the rest in the order given.

    A tunnel's address comes last even where the default route leads through it: the phone
    beside the counter is on the Wi-Fi and cannot reach the tunnel.
    """
    candidates = list(found)
    known = {each.address for each in candidates}
    candidates += [Interface(name="", address=a) for a in default_sources if a not in known]
    reachable = [each for each in candidates if _reachable(each.address)]

    def key(each: Interface) -> tuple[bool, bool, bool, bool]:
        address = ipaddress.ip_address(each.address)
        return (
            each.name.lower().startswith(_VIRTUAL),
            address.version == 6,
            each.address not in default_sources,
            not address.is_private,
        )

    return tuple(dict.fromkeys(each.address for each in sorted(reachable, key=key)))


def _reachable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def _default_sources() -> tuple[str, ...]:
    sources = []
    for family, target in _DOCUMENTATION.items():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            sources.append(str(probe.getsockname()[0]))
    return tuple(sources)


def _temporary_addresses() -> set[str]:
    """Linux: the addresses that /proc/net/if_inet6 flags as temporary; elsewhere none."""
    try:
        lines = [line.split() for line in _IF_INET6.read_text("ascii").splitlines()]
    except (OSError, UnicodeDecodeError):
        return set()
    return {
        str(ipaddress.IPv6Address(bytes.fromhex(fields[0])))
        for fields in lines
        if len(fields) == 6 and int(fields[4], 16) & _IFA_F_TEMPORARY
    }
