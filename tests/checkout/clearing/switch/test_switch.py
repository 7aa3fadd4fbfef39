"""What the switch answers, through its socket, and what is in the ledger afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyemv import ac, kd

from checkout.clearing.client.client import OperationFailed
from checkout.clearing.hsm.icc_data import read_icc, write_icc
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.clearing.tokens.token_service import token_cryptogram
from tests.checkout.clearing.network import (
    BLOCKED,
    CLASS_III,
    CREDIT,
    DEBIT,
    EMPTY,
    EXPIRED,
    HCE_PHONE,
    PIN,
    QUICK,
    SE_PHONE,
    VISA,
    WALLET,
    Network,
    unionpay_icc,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_T = TransactionType


def test_purchase_holds_the_amount_and_every_entry_sums_to_zero(network: Network) -> None:
    before = network.available()
    exchange = network.ask(network.request(amount=1280))
    assert exchange.response.approved
    assert exchange.response.approval_code is not None
    assert exchange.response.settlement_date == date(2026, 3, 2)
    assert network.available() == before - 1280
    total = network.reader.trial_balance()["CNY"]
    assert total.debits_pending == total.credits_pending > 0


def test_postings_show_who_gets_what_of_one_payment(network: Network) -> None:
    request = network.request(amount=10_000)
    network.ask(request)
    by_purpose = {one.purpose: one.amount_minor for one in network.reader.postings(request.rrn)}
    assert by_purpose["purchase"] == 10_000
    assert by_purpose["interchange"] == 35
    given_up = by_purpose["interchange"] + by_purpose["network fee from acquirer"]
    assert by_purpose["sale"] == 10_000 - given_up - by_purpose["acquirer fee"]
    assert all("1000000019" not in one.debit for one in network.reader.postings(request.rrn))


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (EXPIRED, "54"),
        (BLOCKED, "62"),
        (EMPTY, "51"),
        ("9999999000000018", "14"),
        ("9999012000000018", "14"),
    ],
)
def test_each_troublemaker_gets_its_code(network: Network, account: str, code: str) -> None:
    assert network.code(network.request(account)) == code


def test_tap_with_right_cryptogram_is_approved_and_answered_to_the_card(network: Network) -> None:
    exchange = network.ask(network.tap(atc=1))
    assert exchange.response.approved
    assert exchange.response.icc is not None and exchange.response.icc[:2] == b"\x91\x0a"


def test_replayed_counter_is_refused_and_the_reason_logged(network: Network) -> None:
    assert network.code(network.tap(atc=7)) == "00"
    assert network.code(network.tap(atc=7)) == "63"
    assert network.code(network.tap(atc=6)) == "63"
    assert network.reader.messages(limit=1)[0].reason == "atc-replayed"


def test_counter_of_a_declined_tap_is_used_up_too(network: Network) -> None:
    assert network.code(network.tap(EMPTY, atc=3)) == "51"
    assert network.code(network.tap(EMPTY, atc=3)) == "63"


def test_altered_amount_breaks_the_cryptogram(network: Network) -> None:
    tap = network.tap(amount=1280, atc=1)
    assert network.code(replace(tap, amount_minor=1281)) == "63"


def test_right_pin_pays_wrong_pin_counts_and_the_third_blocks(network: Network) -> None:
    def paid_with(pin: str) -> str:
        block = network.client.encrypt_pin(pin, DEBIT)
        return network.code(network.request(amount=2000_00, pin_block=block))

    assert paid_with(PIN) == "00"
    assert [paid_with("000000"), paid_with("000001"), paid_with("000002")] == ["55", "55", "75"]
    assert paid_with(PIN) == "75"


def test_right_pin_gives_the_tries_back(network: Network) -> None:
    def code(pin: str) -> str:
        return network.code(network.request(pin_block=network.client.encrypt_pin(pin, DEBIT)))

    assert [code("000000"), code("000000"), code(PIN)] == ["55", "55", "00"]
    assert [code("000000"), code("000000")] == ["55", "55"]


def test_without_pin_only_up_to_the_quickpass_limit(network: Network) -> None:
    assert network.code(network.tap(amount=1000_00, atc=1)) == "00"
    assert network.code(network.tap(amount=1000_01, atc=2)) == "61"


def test_duplicate_stan_posts_once(network: Network) -> None:
    request = network.request()
    before = network.available()
    assert [network.code(request), network.code(request)] == ["00", "94"]
    assert network.available() == before - request.amount_minor


def test_reversal_gives_the_money_back_once_however_often_it_is_sent(network: Network) -> None:
    before = network.available()
    request = network.request()
    network.ask(request)
    for _ in range(3):
        assert network.client.reverse(request).response.response_code == "00"
    assert network.available() == before
    assert {one.status for one in network.reader.postings(request.rrn)} == {Status.VOIDED}


def test_original_that_comes_after_its_reversal_is_refused(network: Network) -> None:
    before = network.available()
    request = network.request()
    assert network.client.reverse(request).response.response_code == "25"
    assert network.code(request) == "68"
    assert network.available() == before


def test_reversal_of_a_declined_purchase_moves_nothing(network: Network) -> None:
    request = network.request(EMPTY)
    assert network.code(request) == "51"
    assert network.client.reverse(request).response.response_code == "00"
    assert network.available(EMPTY) == 0


def test_refunds_up_to_what_was_paid_return_exactly_its_fees(network: Network) -> None:
    request = network.request(amount=1280)
    before = network.available()
    network.ask(request)
    parts = [500, 333, 447]
    for part in parts:
        assert network.code(network.follow(request, _T.REFUND, part)) == "00"
    assert network.code(network.follow(request, _T.REFUND, 1)) == "61"
    network.client.operate("settle")
    assert network.available() == before
    merchants = network.reader.accounts("merchant/")
    assert [one.balance.posted for one in merchants] == [0]
    assert all(one.balance.posted == 0 for one in network.reader.accounts("income/"))


def test_repeated_refund_gets_the_same_answer_and_books_once(network: Network) -> None:
    request = network.request()
    network.ask(request)
    refund = network.follow(request, _T.REFUND, 100)
    first, second = network.ask(refund).response, network.ask(refund).response
    assert first == second and first.approved
    assert sum(entry.kind == "refund" for entry in network.reader.entries()) == 1


def test_void_takes_the_whole_sale_back_on_the_same_day_only(network: Network) -> None:
    request = network.request()
    network.ask(request)
    assert network.code(network.follow(request, _T.VOID, 1)) == "64"
    assert network.code(network.follow(request, _T.VOID)) == "00"
    assert network.code(network.follow(request, _T.VOID)) == "12"
    late = network.request()
    network.ask(late)
    network.clock.set_to(datetime(2026, 3, 2, 15, 0, tzinfo=UTC))  # 23:00 in Shanghai
    assert network.code(network.follow(late, _T.VOID)) == "12"


def test_reversed_void_puts_the_sale_in_again(network: Network) -> None:
    before = network.available()
    request = network.request(amount=900)
    network.ask(request)
    void = network.follow(request, _T.VOID)
    assert network.code(void) == "00"
    assert network.available() == before
    for _ in range(2):
        assert network.client.reverse(void).response.response_code == "00"
    assert network.available() == before - 900
    assert network.client.reverse(request).response.response_code == "00"
    assert network.available() == before


def test_follow_up_without_its_original_finds_no_record(network: Network) -> None:
    assert network.code(network.follow(network.request(), _T.REFUND)) == "25"
    assert network.code(replace(network.request(), transaction_type=_T.VOID)) == "25"


@pytest.mark.parametrize(
    ("completed", "code"), [(800, "00"), (1000, "00"), (1150, "00"), (1151, "61")]
)
def test_preauthorisation_completes_lower_and_up_to_115_percent(
    network: Network, completed: int, code: str
) -> None:
    before = network.available()
    hold = network.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    assert network.code(hold) == "00"
    assert network.available() == before - 1000
    assert network.code(network.follow(hold, _T.COMPLETION, completed)) == code
    assert network.available() == before - (completed if code == "00" else 1000)


def test_completion_happens_once_and_its_reversal_holds_again(network: Network) -> None:
    before = network.available()
    hold = network.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    network.ask(hold)
    completion = network.follow(hold, _T.COMPLETION, 700)
    assert network.code(completion) == "00"
    assert network.code(network.follow(hold, _T.COMPLETION, 700)) == "12"
    assert network.client.reverse(hold).response.response_code == "12"
    assert network.client.reverse(completion).response.response_code == "00"
    assert network.available() == before - 1000
    assert network.code(network.follow(hold, _T.COMPLETION_ADVICE, 600)) == "00"
    assert network.available() == before - 600


def test_completion_whose_void_was_undone_still_holds_again_when_it_is_reversed(
    network: Network,
) -> None:
    before = network.available()
    hold = network.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    network.ask(hold)
    completion = network.follow(hold, _T.COMPLETION, 700)
    assert network.code(completion) == "00"
    void = network.follow(completion, _T.VOID, 700)
    assert network.code(void) == "00"
    assert network.client.reverse(void).response.response_code == "00"
    assert network.available() == before - 700
    assert network.client.reverse(completion).response.response_code == "00"
    assert network.available() == before - 1000


def test_preauthorisation_is_released_by_its_void(network: Network) -> None:
    before = network.available()
    hold = network.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    network.ask(hold)
    assert network.code(network.follow(hold, _T.PREAUTHORISATION_VOID)) == "00"
    assert network.available() == before
    assert network.code(network.follow(hold, _T.COMPLETION)) == "12"


def test_hold_expires_after_thirty_days(network: Network) -> None:
    before = network.available()
    hold = network.request(amount=1000, transaction_type=_T.PREAUTHORISATION)
    network.ask(hold)
    network.clock.set_to(datetime(2026, 4, 1, 4, 1, tzinfo=UTC))
    assert network.code(network.follow(hold, _T.COMPLETION)) == "12"
    network.client.operate("settle")
    assert network.available() == before
    assert {one.status for one in network.reader.postings(hold.rrn)} == {Status.EXPIRED}


def test_balance_is_told_to_whom_proves_to_be_the_payer(network: Network) -> None:
    asked = network.request(amount=0, transaction_type=_T.BALANCE)
    assert network.code(asked) == "05"
    block = network.client.encrypt_pin(PIN, DEBIT)
    exchange = network.ask(network.request(amount=0, transaction_type=_T.BALANCE, pin_block=block))
    assert exchange.response.balance_minor == network.available()


def test_offline_approval_is_booked_by_its_certificate(network: Network) -> None:
    key = KeyStore(network.home).card_key(EMPTY, "001")
    icc = unionpay_icc(key, amount=300, atc=1)
    advice = network.tap(EMPTY, 300, atc=1, icc=icc, transaction_type=_T.OFFLINE_ADVICE)
    assert network.code(advice) == "00"
    assert network.available(EMPTY) == -300
    assert network.code(replace(advice, stan=999, icc=None)) == "30"


def test_wallet_pays_out_of_its_balance_in_the_other_house(network: Network) -> None:
    block = network.client.encrypt_pin(PIN, WALLET)
    before = network.available(WALLET)
    request = network.request(WALLET, 1000, pin_block=block)
    assert network.code(request) == "00"
    assert network.available(WALLET) == before - 1000
    assert network.reader.entries(rrn=request.rrn)[0].house == "three-party"
    assert network.code(network.tap(WALLET, atc=1, icc=None)) == "57"


def test_quick_payment_draws_on_the_linked_bank_account(network: Network) -> None:
    block = network.client.encrypt_pin(PIN, QUICK)
    request = network.request(QUICK, 1000, pin_block=block)
    assert network.code(request) == "00"
    purposes = {one.purpose for one in network.reader.postings(request.rrn)}
    assert {"quick payment", "sale", "operator fee"} <= purposes
    assert network.code(network.follow(request, _T.REFUND, 1000)) == "00"


def test_card_from_abroad_is_billed_in_its_own_currency(network: Network) -> None:
    before = network.available(VISA, "USD")
    request = network.request(VISA, 10_000)
    response = network.ask(request).response
    assert response.approved and response.billing_currency == "USD"
    assert network.available(VISA, "USD") == before - (response.billing_amount_minor or 0)
    for part in (3333, 3333, 3334):
        assert network.code(network.follow(request, _T.REFUND, part)) == "00"
    network.client.operate("settle")
    assert network.available(VISA, "USD") == before


@pytest.mark.parametrize("currency", ["JPY", "KWD", "USD"])
def test_sale_in_a_foreign_currency_bills_the_domestic_card(
    network: Network, currency: str
) -> None:
    response = network.ask(network.request(CREDIT, 1000, currency=currency)).response
    assert response.approved and response.billing_currency == "CNY"
    assert network.reader.trial_balance()[currency].debits_pending > 0


def test_payment_token_stands_for_its_account_and_both_are_told(network: Network) -> None:
    response = network.ask(network.tap(SE_PHONE, atc=1)).response
    assert response.approved
    assert response.masked_account == "999903******0017"
    assert response.account_reference is not None and len(response.account_reference) == 29
    again = network.ask(network.tap(SE_PHONE, atc=2)).response
    assert again.account_reference == response.account_reference


def test_stolen_token_is_useless_in_another_domain(network: Network) -> None:
    assert network.code(network.request(SE_PHONE)) == "57"
    online = network.request(SE_PHONE, entry_mode=EntryMode.ECOMMERCE, initiation=Initiation.ONLINE)
    assert network.code(online) == "57"


def test_suspended_token_pays_again_once_it_is_resumed(network: Network) -> None:
    for action, code, atc in (("suspend", "62", 1), ("resume", "00", 2), ("delete", "14", 3)):
        network.client.operate("advance-token", {"payment_token": SE_PHONE, "action": action})
        assert network.code(network.tap(SE_PHONE, atc=atc)) == code
    with pytest.raises(OperationFailed, match="can't resume when deleted"):
        network.client.operate("advance-token", {"payment_token": SE_PHONE, "action": "resume"})


def test_provisioned_token_needs_verification_before_it_pays(network: Network) -> None:
    made = network.client.operate(
        "request-token", {"account": DEBIT, "requestor": "lane-wallet", "domain": "code"}
    )
    number = made["payment_token"]
    assert made["state"] == "requested" and network.code(network.request(number)) == "62"
    given = {"payment_token": number, "method": "one-time-code", "passed": True}
    assert network.client.operate("verify-token", given)["assurance"] == "40"
    network.client.operate("advance-token", {"payment_token": number, "action": "activate"})
    assert network.code(network.request(number)) == "00"


def test_phone_is_refused_when_its_limited_use_key_is_used_up(network: Network) -> None:
    token_key = KeyStore(network.home).card_key(HCE_PHONE, "001")
    key = kd.derive_common_sk(token_key, b"\xa5" * 4 + (1).to_bytes(4))
    codes = [network.code(_hce_tap(network, key, atc)) for atc in range(1, 7)]
    assert codes == ["00"] * 5 + ["63"]
    assert network.reader.messages(limit=1)[0].reason == "atc-key-used-up"


def _hce_tap(network: Network, key: bytes, atc: int) -> AuthorizationRequest:
    held = read_icc(unionpay_icc(key, amount=100, atc=atc))
    iad = bytes.fromhex("07010203A00000") + b"\x04" + (1).to_bytes(4)
    session = kd.derive_common_sk(key, held[0x9F36] + bytes(6))
    order = (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37, 0x82, 0x9F36)
    signed = b"".join(held[tag] for tag in order) + iad[3:7]
    icc = write_icc(held | {0x9F10: iad, 0x9F26: ac.generate_ac(session, signed)})
    return network.tap(HCE_PHONE, 100, atc=atc, icc=icc)


def test_unknown_acquirer_and_absurd_amounts_are_refused(network: Network) -> None:
    assert network.code(network.request(acquirer="12345678")) == "12"
    assert network.code(network.request(amount=0)) == "13"
    assert network.code(network.request(amount=10**11)) == "13"


def test_dispute_goes_through_its_steps_and_the_ledger_follows(network: Network) -> None:
    request = network.request(amount=1000)
    before = network.available()
    network.ask(request)
    network.client.operate("settle")
    result = network.client.operate("charge-back", {"rrn": request.rrn, "reason": "fraud"})
    assert result["state"] == "charged-back"
    assert network.code(network.follow(request, _T.REFUND, 1)) == "61"
    with pytest.raises(OperationFailed, match="dispute is charged-back"):
        network.client.operate("charge-back", {"rrn": request.rrn})
    assert network.client.operate("represent", {"rrn": request.rrn})["state"] == "represented"
    decided = network.client.operate("decide", {"rrn": request.rrn, "for_payer": True})
    assert decided["state"] == "final-for-payer"
    network.clock.set_to(datetime(2026, 3, 3, 4, 0, tzinfo=UTC))
    network.client.operate("settle")
    assert network.available() == before
    network.reader.trial_balance()


def test_online_token_pays_with_a_cryptogram_once_and_at_one_merchant(network: Network) -> None:
    made = network.client.operate(
        "request-token", {"account": CREDIT, "requestor": "phone-maker", "domain": "online"}
    )
    number = made["payment_token"]
    verified = {"payment_token": number, "method": "bank-app", "passed": True}
    network.client.operate("verify-token", verified)
    network.client.operate("advance-token", {"payment_token": number, "action": "activate"})
    key = KeyStore(network.home).card_key(number, None)

    def bought(atc: int, **changed: Any) -> str:
        request = network.request(
            number,
            2500_00,
            entry_mode=EntryMode.ECOMMERCE,
            initiation=Initiation.ONLINE,
            token_requestor="99900000002",
        )
        cryptogram = token_cryptogram(key, request, atc, b"\x01\x02\x03\x04")
        return network.code(replace(request, token_cryptogram=cryptogram, **changed))

    assert bought(1) == "00"
    assert bought(1) == "63"
    assert bought(2, merchant_id="ANOTHERMERCHANT") == "63"
    assert bought(3, amount_minor=1) == "63"
    assert bought(4, token_requestor="99900000001") == "57"
    assert bought(5) == "00"


def test_failed_verification_deletes_the_token_at_the_third_try(network: Network) -> None:
    made = network.client.operate(
        "request-token", {"account": DEBIT, "requestor": "lane-wallet", "domain": "code"}
    )
    failed = {"payment_token": made["payment_token"], "method": "one-time-code", "passed": False}
    states = [network.client.operate("verify-token", failed)["state"] for _ in range(3)]
    assert states == ["requested", "requested", "deleted"]


def test_phone_is_given_keys_and_a_secure_element_is_personalised(network: Network) -> None:
    result = network.client.operate("token-keys", {"payment_token": HCE_PHONE})
    (key,) = result["keys"]
    assert (key["serial"], key["uses"]) == (1, 5) and key["key_block"].startswith("D0")
    made = network.client.operate("personalise-token", {"payment_token": SE_PHONE})
    assert made["tags"]["5A"] == SE_PHONE and len(made["key_check_value"]) == 6
    with pytest.raises(OperationFailed, match="unknown"):
        network.client.operate("token-keys", {"payment_token": "9999709999999999"})


def test_unknown_operation_and_wrong_arguments_are_told(network: Network) -> None:
    for name, given, message in (
        ("nonsense", {}, "known are settle"),
        ("set-status", {"account": DEBIT}, "status is missing"),
        ("set-status", {"account": DEBIT, "status": "sleepy"}, "sleepy"),
        ("set-status", {"account": "1", "status": "active"}, "no such account"),
        ("clock", {"at": "noon"}, "clock"),
    ):
        with pytest.raises(OperationFailed, match=message):
            network.client.operate(name, given)
    assert network.code(network.request()) == "00"


def test_account_is_blocked_and_freed_by_the_back_office(network: Network) -> None:
    network.client.operate("set-status", {"account": DEBIT, "status": "lost"})
    assert network.code(network.request()) == "41"
    logged = next(one for one in network.reader.messages() if one.kind == "set-status")
    assert DEBIT.encode() not in logged.request and b"999901******0019" in logged.request
    network.client.operate("set-status", {"account": DEBIT, "status": "active"})
    assert network.code(network.request()) == "00"


def test_limits_of_a_class_iii_account_hold_for_the_day_and_come_back_with_a_reversal(
    network: Network,
) -> None:
    block = network.client.encrypt_pin(PIN, CLASS_III)

    def code(amount: int) -> tuple[str, AuthorizationRequest]:
        request = network.request(CLASS_III, amount, pin_block=block)
        return network.code(request), request

    first, request = code(900_00)
    assert (first, code(200_00)[0]) == ("00", "61")  # barcode level C: 1,000 a day
    assert network.client.reverse(request).response.response_code == "00"
    assert code(1000_00)[0] == "00"
    network.clock.set_to(datetime(2026, 3, 3, 4, 0, tzinfo=UTC))
    assert code(1000_00)[0] == "00"


def test_log_tells_who_asked_what_and_how_it_ended_with_numbers_masked(network: Network) -> None:
    block = network.client.encrypt_pin(PIN, DEBIT)
    request = network.tap(amount=100, atc=1, pin_block=block, track2=f"{DEBIT}D30122010000012345")
    network.code(request)
    (logged,) = network.reader.messages(rrn=request.rrn)
    assert (logged.peer, logged.kind, logged.response_code) == (
        "market-acquirer",
        "purchase",
        "00",
    )
    assert logged.account == "999901******0019"
    for secret in (DEBIT.encode(), block, b"12345"):
        assert secret not in logged.request and secret not in (logged.response or b"")
    dump = logged.dump()
    assert dump["request"]["DE2"]["value"] == "999901******0019"
    assert dump["response"]["DE39"]["value"] == "00"
    assert network.reader.messages(search="market")[0].rrn == request.rrn
    assert network.reader.messages(search="no such thing") == ()
