"""Signatures against the specification's own vector and the specification's own library."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given, strategies as st

from checkout.shop.webhooks.signing import (
    ID,
    SIGNATURE,
    TIMESTAMP,
    SecretError,
    TakenIds,
    WebhookRefused,
    new_secret,
    sign,
    verify,
)

# The vector that the reference libraries of Standard Webhooks carry in their tests
# (github.com/standard-webhooks/standard-webhooks, libraries/*).
VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_AT = datetime.fromtimestamp(1614265330, UTC)
VECTOR = {
    ID: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    TIMESTAMP: "1614265330",
    SIGNATURE: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}

BODY = '{"type":"order.paid","data":{"shop":"最佳运输"}}'.encode()
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def signed(secret: str, body: bytes = BODY, at: datetime = NOW) -> dict[str, str]:
    return sign(body, event_id="evt_1", at=at, secrets=secret)


def refusal(headers: dict[str, str], *, body: bytes = BODY, secret: str, **more: Any) -> str:
    with pytest.raises(WebhookRefused) as caught:
        verify(body, headers, secrets=secret, now=NOW, **more)
    assert "\n" not in str(caught.value)
    return caught.value.check


def test_the_published_vector_is_signed_and_verified() -> None:
    made = sign(VECTOR_BODY, event_id=VECTOR[ID], at=VECTOR_AT, secrets=VECTOR_SECRET)
    assert made == VECTOR
    known = verify(VECTOR_BODY, VECTOR, secrets=VECTOR_SECRET, now=VECTOR_AT)
    assert (known.event_id, known.signed_at) == (VECTOR[ID], VECTOR_AT)


@given(st.text(min_size=1), st.binary(min_size=24, max_size=64))
def test_the_specification_s_library_verifies_what_is_signed_here(text: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps({"said": text}, ensure_ascii=True).encode()
    headers = sign(body, event_id="evt_1", at=datetime.now(UTC), secrets=secret)
    assert standardwebhooks.Webhook(secret).verify(body, headers) == {"said": text}


@given(st.binary(min_size=24, max_size=64))
def test_what_the_specification_s_library_signs_is_verified_here(key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    signature = standardwebhooks.Webhook(secret).sign("evt_1", NOW, BODY.decode())
    stamp = str(int(NOW.timestamp()))
    headers = {"Webhook-Id": "evt_1", "Webhook-Timestamp": stamp, "Webhook-Signature": signature}
    assert verify(BODY, headers, secrets=secret, now=NOW).event_id == "evt_1"


def test_the_specification_s_library_refuses_what_is_refused_here() -> None:
    secret = new_secret()
    headers = sign(BODY, event_id="evt_1", at=datetime.now(UTC), secrets=secret)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(BODY + b" ", headers)
    assert refusal(signed(secret), body=BODY + b" ", secret=secret) == "signature"


def test_both_receivers_verify_while_a_secret_is_changed() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = sign(BODY, event_id="evt_1", at=NOW, secrets=[new, old])
    assert headers[SIGNATURE].count("v1,") == 2
    for known in (old, new):
        assert verify(BODY, headers, secrets=known, now=NOW)
    assert verify(BODY, signed(old), secrets=[new, old], now=NOW)
    assert refusal(headers, secret=other) == "signature"


def test_signatures_of_other_versions_are_passed_over() -> None:
    secret = new_secret()
    headers = signed(secret)
    mixed = {**headers, SIGNATURE: f"v1a,bm9uZQ== {headers[SIGNATURE]} junk"}
    assert verify(BODY, mixed, secrets=secret, now=NOW)
    alone = {**headers, SIGNATURE: headers[SIGNATURE].replace("v1,", "v1a,")}
    assert refusal(alone, secret=secret) == "signature"


@pytest.mark.parametrize("side", [-1, 1])
def test_the_tolerance_ends_after_300_s_either_way(side: int) -> None:
    secret = new_secret()
    for seconds, fits in ((300, True), (301, False)):
        headers = signed(secret, at=NOW + timedelta(seconds=side * seconds))
        if fits:
            assert verify(BODY, headers, secrets=secret, now=NOW)
        else:
            assert refusal(headers, secret=secret) == "timestamp"


@pytest.mark.parametrize(
    ("name", "text", "check"),
    [
        (ID, None, "headers"),
        (TIMESTAMP, None, "headers"),
        (SIGNATURE, None, "headers"),
        (ID, "evt_2", "signature"),
        (ID, "evt.1", "headers"),
        (ID, "evt_1\n", "headers"),
        (TIMESTAMP, "soon", "headers"),
        (TIMESTAMP, "-1", "headers"),
        (TIMESTAMP, "١٢٣", "headers"),
        (TIMESTAMP, "9" * 400, "headers"),
        (TIMESTAMP, str(int(NOW.timestamp()) + 1), "signature"),
        (SIGNATURE, "v1,", "signature"),
        (SIGNATURE, "v1,\udcff", "signature"),
        (SIGNATURE, " ", "signature"),
    ],
)
def test_a_changed_header_is_refused(name: str, text: str | None, check: str) -> None:
    secret = new_secret()
    headers = signed(secret)
    if text is None:
        del headers[name]
    else:
        headers[name] = text
    assert refusal(headers, secret=secret) == check


@given(st.integers(min_value=0, max_value=len(BODY) * 8 - 1))
def test_every_bit_of_the_body_is_signed(bit: int) -> None:
    secret = VECTOR_SECRET
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    assert refusal(signed(secret), body=bytes(changed), secret=secret) == "signature"


@pytest.mark.parametrize(
    "secret", ["", "whsec_", VECTOR_SECRET[6:], "whsec_%%%%", "whsec_c2hvcnQ=", "whsec_" + "A" * 96]
)
def test_a_secret_that_is_none_is_told_without_repeating_it(secret: str) -> None:
    with pytest.raises(SecretError) as caught:
        sign(BODY, event_id="evt_1", at=NOW, secrets=secret)
    assert "whsec_ and base64" in str(caught.value)
    assert len(secret) < 7 or secret not in str(caught.value)


def test_an_id_that_could_be_read_in_two_ways_is_not_signed() -> None:
    with pytest.raises(ValueError, match="full stop"):
        sign(BODY, event_id="evt.1", at=NOW, secrets=VECTOR_SECRET)


def test_an_id_is_taken_once_and_forgotten_in_time() -> None:
    taken = TakenIds(keep_s=600)
    assert taken.take("evt_1", NOW)
    assert not taken.take("evt_1", NOW + timedelta(seconds=599))
    assert taken.take("evt_2", NOW + timedelta(seconds=599))
    assert taken.take("evt_1", NOW + timedelta(seconds=600))
    taken.give_back("evt_2")
    assert taken.take("evt_2", NOW + timedelta(seconds=600))


def test_the_oldest_ids_go_where_there_are_too_many() -> None:
    taken = TakenIds(most=2)
    assert [taken.take(name, NOW) for name in ("a", "b", "c", "c", "a")] == [True] * 3 + [
        False,
        True,
    ]


def test_it_can_be_taken_out_alone() -> None:
    """Neither Flask nor a database nor any other room comes with it."""
    program = (
        "import sys; import checkout.webhooks.receiver;"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in"
        " ('flask', 'sqlalchemy', 'cryptography', 'devices', 'checkout')))"
    )
    came = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert came.stdout.strip() == str(
        [
            "checkout",
            "checkout.shop",
            "checkout.shop.webhooks",
            "checkout.shop.webhooks.receiver",
            "checkout.shop.webhooks.signing",
            "checkout.webhooks",
            "checkout.webhooks.receiver",
        ]
    )
