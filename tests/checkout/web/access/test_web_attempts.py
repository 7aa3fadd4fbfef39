"""How failures are counted and forgotten."""

from __future__ import annotations

from checkout.web.attempts import Attempts, network_of


class Hand:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_limit_makes_an_address_wait_until_the_oldest_failure_is_gone() -> None:
    hand = Hand()
    attempts = Attempts(limit=3, window_s=60, monotonic=hand)
    for _ in range(3):
        assert attempts.wait_s("192.0.2.1") == 0
        attempts.failed("192.0.2.1")
        hand.now += 10
    assert attempts.wait_s("192.0.2.1") == 30
    assert attempts.wait_s("192.0.2.2") == 0
    hand.now += 30
    assert attempts.wait_s("192.0.2.1") == 0


def test_one_host_cannot_use_all_its_ipv6_addresses() -> None:
    attempts = Attempts(limit=1, window_s=60)
    attempts.failed("2001:db8::1")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:0:1::1") == 0
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of(None) == network_of("no address") == "unknown"


def test_memory_stays_bounded() -> None:
    attempts = Attempts(limit=1, window_s=60, addresses=10)
    for n in range(100):
        attempts.failed(f"10.0.0.{n}")
    assert attempts.wait_s("10.0.0.0") == 0
    assert attempts.wait_s("10.0.0.99") > 0
