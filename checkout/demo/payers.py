"""The demo's people: who can pay, with what, and how their emulated cards are made."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from checkout.acceptance.contract import Mode
from checkout.clearing.hsm.keystore import KeyStore
from checkout.config import Config, make_home
from checkout.demo.provisioning import TokenService, own_service, provision
from checkout.errors import ShopError
from checkout.shop.payments.payers import Payer
from devices.nfc.emulated import ensure_authority, load_profile, personalise, profile_names

DEFAULT_PAYER = "unionpay-debit"

#: The PIN of every demo account: it protects nothing, and pages say never to enter a real one.
DEMO_PIN = "123456"

#: Payers that cannot pay by code: their trouble is in the chip, or their number is a payment token
#: bound to contactless use.
_TAP_ONLY = frozenset(
    {
        "hce-phone",
        "se-phone",
        "tampered-certificate",
        "altered-data",
        "replayed-cryptogram",
        "pulled-away",
        "slow",
        "type-b",
    }
)


_WALLETS = (
    Payer(
        name="wallet-balance",
        title="Wallet, stored balance",
        purpose="three-party: the operator pays from the balance it keeps",
        kind="wallet",
        scheme="wallet",
        account="9999801000000013",
        expiry=None,
        pan_sequence=None,
        modes=(Mode.QR,),
        makes_trouble=False,
    ),
    Payer(
        name="wallet-quick",
        title="Wallet, linked bank account",
        purpose="three-party: the operator draws on a bank account by quick payment",
        kind="wallet",
        scheme="wallet",
        account="9999801000000021",
        expiry=None,
        pan_sequence=None,
        modes=(Mode.QR,),
        makes_trouble=False,
    ),
)


@cache
def payers() -> tuple[Payer, ...]:
    """All payers: the default payer first, those that make trouble last."""
    with_card = {name: _of_profile(name) for name in profile_names()}
    leading = [with_card.pop(name) for name in _LEADING if name in with_card]
    return (*leading, *_WALLETS, *with_card.values())


_LEADING = (
    DEFAULT_PAYER,
    "unionpay-credit",
    "unionpay-class2",
    "unionpay-class3",
    "hce-phone",
    "se-phone",
    "visa-abroad",
    "mastercard-abroad",
)


def _of_profile(name: str) -> Payer:
    profile = load_profile(name)
    return Payer(
        name=name,
        title=profile.title,
        purpose=profile.purpose,
        kind=profile.kind,
        scheme=profile.scheme,
        account=profile.pan,
        expiry=profile.expiry,
        pan_sequence=profile.pan_sequence.zfill(3),
        modes=(Mode.NFC,) if name in _TAP_ONLY else (Mode.QR, Mode.NFC),
        makes_trouble=name not in _LEADING,
    )


class DemoPayers:
    """The demo's payers as the shop asks for them (`checkout.shop.payments.payers.Payers`)."""

    def all(self) -> tuple[Payer, ...]:
        """All payers: the default payer first, those that make trouble last."""
        return payers()

    def named(self, name: str) -> Payer:
        """The payer of that name; ShopError(unknown-payer) lists the others."""
        return payer(name)

    def name_of(self, account: str | None) -> str | None:
        """The name of the payer with that account; None where no payer of the demo has it."""
        return next((each.name for each in payers() if each.account == account), None)


def payer(name: str) -> Payer:
    """The payer of that name; ShopError(unknown-payer) lists the others."""
    for candidate in payers():
        if candidate.name == name:
            return candidate
    known = ", ".join(candidate.name for candidate in payers())
    raise ShopError("unknown-payer", f"payer: nobody is called {name!r}; there are {known}")


def prepare_home(home: Path) -> None:
    """Make what every card and terminal of the demo needs, where it is missing: the test CA.

    A terminal without its keys can't authenticate a card offline. Raises ConfigError, or
    CardFileError for a file of keys that is not valid.
    """
    make_home(home)
    ensure_authority(home)


def make_card(name: str, home: Path, *, service: TokenService | None = None) -> Path:
    """Personalise the emulated card `name` in this home where it is missing; returns its file.

    A phone gets its keys from the token service, and new ones when they run low. `service` reaches
    it, by default through the switch of this home's database. Raises NotProvisioned.
    """
    profile = load_profile(name)
    prepare_home(home)
    if profile.phone is not None:
        return provision(
            profile, home, service or own_service(home, Config(home=home).database_url)
        )
    key = KeyStore(home).card_key(profile.pan, profile.pan_sequence)
    return personalise(profile, card_key=key, home=home)
