"""The addresses at which a phone on the same network reaches this machine.

Asks the kernel only: no packet leaves. A datagram socket is connected to an address of the
documentation ranges to learn which source the default route would use.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Links that no phone is on: bridges of containers and virtual machines, tunnels.
_VIRTUAL = ("br-", "cni", "docker", "flannel", "lxc", "lxd", "podman", "tap", "tun", "utun",
            "veth", "vboxnet", "virbr", "vmnet", "wg", "zt", "tailscale", "ppp")  # fmt: skip
_DOCUMENTATION = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40 if struct.calcsize("P") == 8 else 32
_IF_INET6 = Path("/proc/net/if_inet6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One address of this machine and the network interface that has it ("" where unknown)."""

    name: str
    address: str

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.address).version


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
    """Every address of this machine, loopback included, as the system lists them."""
    found = [*_ipv4_interfaces(), *_ipv6_interfaces()]
    known = {each.address for each in found}
    named = {each for each in _by_host_name() if each not in known}
    return (*found, *(Interface(name="", address=each) for each in sorted(named)))


def rank(found: Iterable[Interface], default_sources: Sequence[str]) -> tuple[str, ...]:
    """Order reachable addresses: real links before virtual ones, IPv4 before IPv6,
    the default route's before others, private before public; the rest in the order given.

    A tunnel's address comes last even where the default route leads through it: the phone
    beside the counter is on the Wi-Fi, not in the tunnel.
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


def _ipv4_interfaces() -> list[Interface]:
    """Linux: the SIOCGIFCONF list (netdevice(7)); elsewhere nothing."""
    try:
        import array
        import fcntl

        room = array.array("B", bytes(_IFREQ_BYTES * 256))
        start, length = room.buffer_info()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iP", length, start))
    except (ImportError, OSError):
        return []
    used = int(struct.unpack("iP", answer)[0])
    listing = room.tobytes()[:used]
    return [
        Interface(
            name=entry[:16].split(b"\0", 1)[0].decode("ascii", "replace"),
            address=socket.inet_ntoa(entry[20:24]),
        )
        for entry in (listing[i : i + _IFREQ_BYTES] for i in range(0, used, _IFREQ_BYTES))
    ]


def _ipv6_interfaces() -> list[Interface]:
    """Linux: /proc/net/if_inet6, less temporary addresses that change from day to day."""
    try:
        lines = _IF_INET6.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) == 6 and not int(fields[4], 16) & 0x01:  # IFA_F_TEMPORARY
            address = ipaddress.IPv6Address(bytes.fromhex(fields[0]))
            found.append(Interface(name=fields[5], address=str(address)))
    return found


def _by_host_name() -> list[str]:
    """What the host's own name stands for: the only list outside Linux."""
    if _IF_INET6.exists():
        return []
    try:
        answers = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return []
    return [str(answer[4][0]).partition("%")[0] for answer in answers]
