"""A merchant's side: each event is acted on once, and only what verifies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from checkout.shop.webhooks.receiver import Receiver
from checkout.shop.webhooks.signing import new_secret, sign

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BODY = b'{"type":"order.paid"}'


def test_an_event_is_acted_on_once() -> None:
    acted: list[dict[str, Any]] = []
    secret = new_secret()
    receiver = Receiver(secret, act=acted.append, clock=lambda: NOW)
    headers = sign(BODY, event_id="evt_1", at=NOW, secrets=secret)
    told = [receiver.receive(headers, BODY) for _ in range(2)]
    assert [one.verdict for one in told] == ["verified", "seen before"]
    assert [one.status for one in told] == [200, 200]
    assert [one.check for one in told] == ["", "event id"]
    assert acted == [{"type": "order.paid"}]


def test_an_event_that_could_not_be_acted_on_is_taken_when_it_comes_again() -> None:
    fails = [True]
    secret = new_secret()

    def act(_event: dict[str, Any]) -> None:
        if fails.pop():
            raise OSError("the store room is locked")

    receiver = Receiver(secret, act=act, clock=lambda: NOW)
    headers = sign(BODY, event_id="evt_1", at=NOW, secrets=secret)
    with pytest.raises(OSError, match="locked"):
        receiver.receive(headers, BODY)
    fails.append(False)
    assert receiver.receive(headers, BODY).verdict == "verified"


@pytest.mark.parametrize("body", [b"", b"paid", b"[]", b"7", b"\xff", b"[" * 100])
def test_what_is_signed_but_no_object_is_refused(body: bytes) -> None:
    secret = new_secret()
    receiver = Receiver(secret, clock=lambda: NOW)
    told = receiver.receive(sign(body, event_id="evt_1", at=NOW, secrets=secret), body)
    assert (told.verdict, told.check, told.status) == ("refused", "body", 400)


def test_what_does_not_verify_is_refused_and_takes_no_id() -> None:
    acted: list[dict[str, Any]] = []
    secret = new_secret()
    receiver = Receiver(secret, act=acted.append, clock=lambda: NOW)
    headers = sign(BODY, event_id="evt_1", at=NOW, secrets=secret)
    assert receiver.receive(headers, BODY + b" ").check == "signature"
    assert receiver.receive({}, BODY).check == "headers"
    assert acted == []
    assert receiver.receive(headers, BODY).verdict == "verified"
