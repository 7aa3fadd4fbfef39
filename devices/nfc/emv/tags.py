"""The data objects of EMV and of the three contactless kernels: name, format, source, secrecy.

EMV Book 3, Annex A, and the data dictionaries of EMV Contactless Books C-2, C-3 and C-7.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Format(StrEnum):
    """A value's format; it decides truncation and padding in a DOL (EMV Book 3, 4.3 and 5.4)."""

    ALPHA = "a"
    ALPHANUMERIC = "an"
    ALPHANUMERIC_SPECIAL = "ans"
    BINARY = "b"
    COMPRESSED_NUMERIC = "cn"
    NUMERIC = "n"
    TEMPLATE = "template"


class Source(StrEnum):
    """Who provides the value."""

    CARD = "card"
    TERMINAL = "terminal"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of the dictionary; a sensitive value reveals the card number or the cardholder."""

    tag: int
    name: str
    format: Format
    source: Source
    sensitive: bool = False


def name_of(tag: int) -> str:
    """The tag's name in the specifications, or "unknown"."""
    entry = TAGS.get(tag)
    return entry.name if entry else "unknown"


def format_of(tag: int) -> Format:
    """The tag's format; binary where the dictionary does not have it."""
    entry = TAGS.get(tag)
    return entry.format if entry else Format.BINARY


def is_sensitive(tag: int) -> bool:
    """Whether the value must be masked wherever it is shown."""
    return tag in SENSITIVE


_FORMATS: Final = {
    "a": Format.ALPHA,
    "an": Format.ALPHANUMERIC,
    "ans": Format.ALPHANUMERIC_SPECIAL,
    "b": Format.BINARY,
    "cn": Format.COMPRESSED_NUMERIC,
    "n": Format.NUMERIC,
    "t": Format.TEMPLATE,
}
_SOURCES: Final = {"c": Source.CARD, "t": Source.TERMINAL, "i": Source.ISSUER}

# tag, format, source (c card, t terminal, i issuer), "!" where sensitive, name
_TABLE: Final = """
42   n   c  Issuer identification number (IIN)
4F   b   c  Application identifier (ADF name)
50   ans c  Application label
56   b   c! Track 1 data
57   b   c! Track 2 equivalent data
5A   cn  c! Application primary account number (PAN)
5F20 ans c! Cardholder name
5F24 n   c  Application expiration date
5F25 n   c  Application effective date
5F28 n   c  Issuer country code
5F2A n   t  Transaction currency code
5F2D an  c  Language preference
5F30 n   c  Service code
5F34 n   c  PAN sequence number (PSN)
5F36 n   t  Transaction currency exponent
5F50 ans c  Issuer URL
5F55 a   c  Issuer country code (alpha 2)
61   t   c  Application template
6F   t   c  File control information (FCI) template
70   t   c  Record template
71   t   i  Issuer script template 1
72   t   i  Issuer script template 2
73   t   c  Directory discretionary template
77   t   c  Response message template format 2
80   b   c  Response message template format 1
81   b   t  Amount, authorised (binary)
82   b   c  Application interchange profile (AIP)
83   b   t  Command template
84   b   c  Dedicated file (DF) name
86   b   i  Issuer script command
87   b   c  Application priority indicator
88   b   c  Short file identifier (SFI)
89   an  i  Authorisation code
8A   an  t  Authorisation response code
8C   b   c  Card risk management DOL 1 (CDOL1)
8D   b   c  Card risk management DOL 2 (CDOL2)
8E   b   c  Cardholder verification method (CVM) list
8F   b   c  Certification authority public key index
90   b   c  Issuer public key certificate
91   b   i  Issuer authentication data
92   b   c  Issuer public key remainder
93   b   c  Signed static application data
94   b   c  Application file locator (AFL)
95   b   t  Terminal verification results (TVR)
97   b   c  Transaction certificate DOL (TDOL)
98   b   t  Transaction certificate hash value
99   b   t! Transaction PIN data
9A   n   t  Transaction date
9B   b   t  Transaction status information (TSI)
9C   n   t  Transaction type
9D   b   c  Directory definition file name
9F01 n   t  Acquirer identifier
9F02 n   t  Amount, authorised (numeric)
9F03 n   t  Amount, other (numeric)
9F04 b   t  Amount, other (binary)
9F05 b   c  Application discretionary data
9F06 b   t  Application identifier (AID), terminal
9F07 b   c  Application usage control
9F08 b   c  Application version number, card
9F09 b   t  Application version number, terminal
9F0B ans c! Cardholder name extended
9F0D b   c  Issuer action code, default
9F0E b   c  Issuer action code, denial
9F0F b   c  Issuer action code, online
9F10 b   c  Issuer application data (IAD)
9F11 n   c  Issuer code table index
9F12 ans c  Application preferred name
9F13 b   c  Last online ATC register
9F14 b   c  Lower consecutive offline limit
9F15 n   t  Merchant category code
9F16 ans t  Merchant identifier
9F17 b   c  PIN try counter
9F18 b   i  Issuer script identifier
9F1A n   t  Terminal country code
9F1B b   t  Terminal floor limit
9F1C an  t  Terminal identification
9F1D b   t  Terminal risk management data
9F1E an  t  Interface device (IFD) serial number
9F1F ans c! Track 1 discretionary data
9F20 cn  c! Track 2 discretionary data
9F21 n   t  Transaction time
9F22 b   t  Certification authority public key index, terminal
9F23 b   c  Upper consecutive offline limit
9F24 ans c  Payment account reference (PAR)
9F26 b   c  Application cryptogram (AC)
9F27 b   c  Cryptogram information data (CID)
9F29 b   c  Extended selection
9F2A b   c  Kernel identifier
9F2D b   c! ICC PIN encipherment public key certificate
9F2E b   c  ICC PIN encipherment public key exponent
9F2F b   c  ICC PIN encipherment public key remainder
9F32 b   c  Issuer public key exponent
9F33 b   t  Terminal capabilities
9F34 b   t  Cardholder verification method (CVM) results
9F35 n   t  Terminal type
9F36 b   c  Application transaction counter (ATC)
9F37 b   t  Unpredictable number (UN)
9F38 b   c  Processing options DOL (PDOL)
9F39 n   t  POS entry mode
9F3A b   t  Amount, reference currency
9F3B n   c  Application reference currency
9F3C n   t  Transaction reference currency code
9F3D n   t  Transaction reference currency exponent
9F40 b   t  Additional terminal capabilities
9F41 n   t  Transaction sequence counter
9F42 n   c  Application currency code
9F43 n   c  Application reference currency exponent
9F44 n   c  Application currency exponent
9F45 b   c  Data authentication code
9F46 b   c! ICC public key certificate
9F47 b   c  ICC public key exponent
9F48 b   c  ICC public key remainder
9F49 b   c  Dynamic data authentication DOL (DDOL)
9F4A b   c  Static data authentication tag list
9F4B b   c  Signed dynamic application data
9F4C b   c  ICC dynamic number
9F4D b   c  Log entry
9F4E ans t  Merchant name and location
9F4F b   c  Log format
9F51 n   c  Application currency code (UnionPay), DRDOL (Mastercard)
9F52 b   c  Application default action
9F53 b   t  Transaction category code
9F5A b   c  Application program identifier
9F5B b   i  Issuer script results
9F5C b   t  DS requested operator ID
9F5D b   c  Available offline spending amount
9F5E b   c  DS ID
9F60 b   c  CVC3 (track 1)
9F61 b   c  CVC3 (track 2)
9F62 b   c  Track 1 bit map for CVC3
9F63 b   c  Card product identification (UnionPay), PUNATC track 1 (Mastercard)
9F64 b   c  NATC (track 1)
9F65 b   c  Track 2 bit map for CVC3
9F66 b   t  Terminal transaction qualifiers (TTQ)
9F67 b   c  NATC (track 2)
9F68 b   c  Card additional processes
9F69 b   c  Card authentication related data
9F6A n   t  Unpredictable number (numeric)
9F6B b   c! Track 2 data
9F6C b   c  Card transaction qualifiers (CTQ)
9F6D b   t  Mag-stripe application version number, reader
9F6E b   c  Form factor indicator (Visa), third party data (Mastercard)
9F70 b   c  Protected data envelope 1
9F74 an  c  Electronic cash issuer authorisation code
9F77 n   c  Electronic cash balance limit
9F78 n   c  Electronic cash single transaction limit
9F79 n   c  Electronic cash balance
9F7A b   t  Electronic cash terminal support indicator
9F7B n   t  Electronic cash terminal transaction limit
9F7C b   c  Customer exclusive data
9F7E b   t  Mobile support indicator
9F7F b   c  Card production life cycle history
A5   t   c  FCI proprietary template
BF0C t   c  FCI issuer discretionary data
DF4B b   c  POS cardholder interaction information
DF60 b   t  Capability of the terminal for extended applications (UnionPay)
DF69 b   t  SM algorithm support indicator (UnionPay)
"""


def _read_table() -> dict[int, Tag]:
    tags: dict[int, Tag] = {}
    for line in _TABLE.strip().splitlines():
        number, form, source, name = line.split(maxsplit=3)
        tag = int(number, 16)
        tags[tag] = Tag(tag, name, _FORMATS[form], _SOURCES[source[0]], source.endswith("!"))
    return tags


#: The dictionary, by tag.
TAGS: Final[dict[int, Tag]] = _read_table()

#: Tags whose value reveals the card number or the cardholder.
SENSITIVE: Final = frozenset(tag for tag, entry in TAGS.items() if entry.sensitive)
