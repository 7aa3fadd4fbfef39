"""Keys that phones are given: they run out, are replenished, and name the token they belong to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checkout.clearing.hsm.card_keys import limited_use_key
from checkout.clearing.hsm.icc_data import write_icc
from checkout.clearing.hsm.keystore import KeyStoreError, KeyUsage, unwrap_key
from checkout.clearing.tokens.limited_use_keys import (
    LIMITED_DAYS,
    LIMITED_USES,
    SINGLE_USE_BATCH,
    issue_keys,
    needs_keys,
    personalise_secure_element,
    serial_reason,
    use_key,
)
from checkout.clearing.tokens.token_service import PaymentToken, TokenDomain, TokenError, TokenState

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = bytes(range(16))
TOKEN = PaymentToken(
    number="9999701000000015",
    account="9999011000000019",
    requestor_id="99900000001",
    domain=TokenDomain.CONTACTLESS,
    expiry="3012",
    reference="9999ABC",
    state=TokenState.ACTIVE,
)


def test_limited_use_key_is_good_for_its_uses_and_no_more() -> None:
    (issued,) = issue_keys(TOKEN, KEY, kind="limited-use", first_serial=3, now=NOW)
    assert issued.key == limited_use_key(KEY, 3) and issued.record.serial == 3
    record, low = issued.record, []
    for _ in range(LIMITED_USES):
        verdict = use_key(record, now=NOW)
        assert verdict.valid and verdict.record is not None
        record = verdict.record
        low.append(verdict.replenish)
    assert low == [False, False, True, True, True]
    spent = use_key(record, now=NOW)
    assert (spent.valid, spent.reason, spent.replenish) == (False, "key-used-up", True)


def test_other_keys_left_make_replenishing_wait() -> None:
    (issued,) = issue_keys(TOKEN, KEY, kind="limited-use", first_serial=0, now=NOW)
    record = replace(issued.record, uses=LIMITED_USES - 1)
    assert use_key(record, now=NOW).replenish
    assert not use_key(record, now=NOW, others_left=LIMITED_USES).replenish


def test_single_use_keys_come_in_a_batch_and_work_once_each() -> None:
    issued = issue_keys(TOKEN, KEY, kind="single-use", first_serial=10, now=NOW)
    assert [one.record.serial for one in issued] == list(range(10, 10 + SINGLE_USE_BATCH))
    assert len({one.key for one in issued}) == SINGLE_USE_BATCH
    first = use_key(issued[0].record, now=NOW)
    assert first.valid and not use_key(first.record, now=NOW).valid
    assert not needs_keys([one.record for one in issued], now=NOW)
    assert needs_keys([one.record for one in issued[:2]], now=NOW)


def test_key_expires_to_the_second() -> None:
    (issued,) = issue_keys(TOKEN, KEY, kind="limited-use", first_serial=0, now=NOW)
    end = NOW + timedelta(days=LIMITED_DAYS)
    assert use_key(issued.record, now=end - timedelta(seconds=1)).valid
    assert use_key(issued.record, now=end).reason == "key-expired"
    assert needs_keys([issued.record], now=end)


@pytest.mark.parametrize(
    ("before", "reason"), [(0, ""), (LIMITED_USES - 1, ""), (LIMITED_USES, "key-used-up")]
)
def test_issuer_counts_payments_by_serial_number(before: int, reason: str) -> None:
    assert serial_reason(before) == reason


def test_key_that_was_never_given_out_is_unknown() -> None:
    assert use_key(None, now=NOW).reason == "key-unknown"


@pytest.mark.parametrize("state", [one for one in TokenState if one is not TokenState.ACTIVE])
def test_only_an_active_token_gets_keys_or_a_secure_element(state: TokenState) -> None:
    token = replace(TOKEN, state=state)
    with pytest.raises(TokenError):
        issue_keys(token, KEY, kind="limited-use", first_serial=0, now=NOW)
    with pytest.raises(TokenError):
        personalise_secure_element(token, KEY, transport_key=bytes(32), aid=b"\xa0")


def test_unknown_kind_of_key_is_a_fault() -> None:
    with pytest.raises(TokenError, match="limited-use"):
        issue_keys(TOKEN, KEY, kind="endless", first_serial=0, now=NOW)


def test_secure_element_gets_its_key_wrapped_and_its_tags() -> None:
    transport = bytes(range(32))
    aid = bytes.fromhex("A000000333010101")
    made = personalise_secure_element(TOKEN, KEY, transport_key=transport, aid=aid)
    assert unwrap_key(transport, made.key_block, KeyUsage.CRYPTOGRAM_MASTER) == KEY
    with pytest.raises(KeyStoreError):
        unwrap_key(transport[::-1], made.key_block, KeyUsage.CRYPTOGRAM_MASTER)
    assert made.tags[0x5A].hex() == TOKEN.number
    assert made.tags[0x57].hex().upper().startswith(f"{TOKEN.number}D3012")
    assert made.tags[0x5F24].hex() == "301231"
    assert write_icc(made.tags)
    assert TOKEN.number not in repr(made) and KEY.hex() not in repr(made)


def test_issued_key_is_not_shown() -> None:
    (issued,) = issue_keys(TOKEN, KEY, kind="limited-use", first_serial=0, now=NOW)
    assert issued.key.hex() not in repr(issued) and TOKEN.number not in repr(issued)
