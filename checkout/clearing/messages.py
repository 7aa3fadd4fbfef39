"""The questions that the clearing backend answers, and its answers, as frozen values.

Every room of clearing works with these values; `iso8583` turns them into bytes and back. Field
numbers (DE) are those of ISO 8583:1987 as UnionPay uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class TransactionType(StrEnum):
    """What is to happen to the money; picks the message type and processing code."""

    PURCHASE = "purchase"  # 0200, DE3 00
    PREAUTHORISATION = "preauthorisation"  # 0100, DE3 03
    COMPLETION = "completion"  # 0200 with DE25 = 06
    COMPLETION_ADVICE = "completion-advice"  # 0220
    PREAUTHORISATION_VOID = "preauthorisation-void"  # 0100, DE3 20
    VOID = "void"  # 0200, DE3 20: the same day's purchase taken back
    REFUND = "refund"  # 0220, DE3 20: any day, whole or in part
    OFFLINE_ADVICE = "offline-advice"  # 0220: what the card approved offline (TC)
    BALANCE = "balance"  # 0200, DE3 30
    TOP_UP = "top-up"  # 0200, DE3 21: from the payer's bank account into the stored balance


class EntryMode(StrEnum):
    """How the account number was entered: the first two digits of DE22."""

    MANUAL = "01"
    BARCODE = "03"
    CONTACT_CHIP = "05"
    CONTACTLESS_CHIP = "07"
    ECOMMERCE = "81"
    CONTACTLESS_MAGSTRIPE = "91"


class Initiation(StrEnum):
    """Who showed what to whom; travels in DE60 and decides which barcode limit holds."""

    CARD = "card"
    STATIC_CODE = "static-code"
    DYNAMIC_CODE = "dynamic-code"  # merchant-presented
    PAYER_CODE = "payer-code"  # consumer-presented
    ONLINE = "online"


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalElements:
    """DE90: the message that a reversal, void, refund or completion is about."""

    message_type: str  # "0200"
    stan: int
    transmitted_at: datetime
    acquirer: str
    forwarder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """One question to the clearing backend, the same for a code and for a tap.

    Amounts are minor units of `currency`; times are aware and in UTC.
    """

    transaction_type: TransactionType
    account: str  # DE2: a PAN, a payment token or an operator's account number
    amount_minor: int  # DE4
    currency: str  # DE49, alphabetic
    stan: int  # DE11, 1 to 999999
    rrn: str  # DE37, 12 characters
    transmitted_at: datetime  # DE7, DE12, DE13
    entry_mode: EntryMode  # DE22
    initiation: Initiation  # DE60
    acquirer: str  # DE32
    forwarder: str  # DE33
    terminal_id: str  # DE41, 8 characters
    merchant_id: str  # DE42, 15 characters
    merchant_name: str  # DE43
    mcc: str  # DE18
    country: str  # DE19, numeric
    expiry: str | None = None  # DE14, YYMM
    pan_sequence: str | None = None  # DE23, three digits
    condition: str = "00"  # DE25
    track2: str | None = None  # DE35, digits with "=" or "D"
    approval_code: str | None = None  # DE38, of the original in completions
    pin_block: bytes | None = None  # DE52, ISO 9564 format 0 under the session's PIN key
    icc: bytes | None = None  # DE55, BER-TLV
    no_pin: bool = False  # DE60: small amount, no PIN asked
    token_requestor: str | None = None  # DE63 TK
    token_cryptogram: bytes | None = None  # DE63 TK, card-not-present and code payments
    original: OriginalElements | None = None  # DE90


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationResponse:
    """The backend's answer; a decline is a value, never an exception."""

    response_code: str  # DE39
    stan: int
    rrn: str
    approval_code: str | None = None  # DE38
    settlement_date: date | None = None  # DE15
    icc: bytes | None = None  # DE55: 91 ARPC, 71/72 scripts
    balance_minor: int | None = None  # DE54
    billing_amount_minor: int | None = None  # DE6, where the card's currency is another
    billing_currency: str | None = None  # DE51
    billing_rate: str | None = None  # DE10: one digit of decimals, seven of the rate
    settlement_amount_minor: int | None = None  # DE5, where participants settle in another
    settlement_currency: str | None = None  # DE50
    settlement_rate: str | None = None  # DE9
    account_reference: str | None = None  # DE56 payment account reference (PAR)
    masked_account: str | None = None  # the PAN behind a payment token, first 6 and last 4

    @property
    def approved(self) -> bool:
        """Whether the money moved or is held."""
        return self.response_code == "00"


#: DE39 in words a cashier and a payer understand.
RESPONSE_TEXTS: dict[str, str] = {
    "00": "approved",
    "05": "do not honour",
    "12": "invalid transaction",
    "13": "invalid amount",
    "14": "no such card",
    "25": "no record of the original",
    "30": "format error",
    "40": "function not supported",
    "41": "lost card",
    "43": "stolen card",
    "51": "insufficient funds",
    "54": "expired card",
    "55": "wrong PIN",
    "57": "not permitted to this card",
    "61": "over the amount limit",
    "62": "restricted card",
    "63": "cryptogram or security check failed",
    "64": "amount differs from the original",
    "65": "over the count limit",
    "68": "answer too late",
    "75": "PIN tries exceeded",
    "91": "issuer unavailable",
    "94": "duplicate transmission",
    "96": "system malfunction",
    "98": "no answer from the issuer",
    "A0": "message authentication failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """0420: undo `request`, whatever became of it; `request.original` names it (DE90)."""

    request: AuthorizationRequest
    reason: str = "4021"  # DE60.1: 4021 time-out, 4000 customer, 4001 card gone, 4354 other


#: DE60.1 by the reason that `SwitchClient.reverse` is given.
REVERSAL_REASONS: dict[str, str] = {
    "customer": "4000",
    "card-gone": "4001",
    "late": "4020",
    "time-out": "4021",
    "shop": "4354",
}


class NetworkFunction(StrEnum):
    """DE70: what a network management message is about."""

    SIGN_ON = "001"
    SIGN_OFF = "002"
    KEY_RESET = "101"
    CUT_OVER_START = "201"
    CUT_OVER_END = "202"
    ECHO = "301"


class SessionKey(StrEnum):
    """First digit of DE53: which key of a session is meant."""

    PIN = "1"
    MAC = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkMessage:
    """0820, and 0800 where it carries a key."""

    function: NetworkFunction  # DE70
    stan: int
    transmitted_at: datetime
    participant: str  # DE33
    session_key: SessionKey | None = None  # DE53
    key_block: str | None = None  # DE48 NK: TR-31 under the participant's zone key
    settlement_date: date | None = None  # DE15, of a cut-over that the network announces


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """0600: an operation that the back office asks of the switch, the only writer of the tables."""

    name: str  # DE48 OP
    arguments: str  # JSON, DE120 to DE123
    stan: int
    transmitted_at: datetime
    participant: str  # DE33


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainAnswer:
    """The answer to a network message or an operation."""

    response_code: str
    stan: int
    content: str = ""  # JSON, DE120 to DE123
    session_key: SessionKey | None = None
    key_block: str | None = None
    settlement_date: date | None = None  # DE15


#: Everything that a participant may send.
Question = AuthorizationRequest | Reversal | NetworkMessage | Operation
