"""Emulated payment cards and phones: the card's side of a tap.

`load_profile` and `personalise` make a card, `open_card` opens it, and `in_process` or one of the
transports puts it on a reader. Nothing here imports the terminal's kernel or its EMV code: a
mistake shared by both sides would cancel itself out.
"""

from devices.nfc.emulated.behaviour import Behaviour, Delay, Pull
from devices.nfc.emulated.card.card import EmulatedCard, open_card
from devices.nfc.emulated.card.memory import LimitedUseKey
from devices.nfc.emulated.card.session import State
from devices.nfc.emulated.in_process import InProcessReader, in_process
from devices.nfc.emulated.personalisation.personalise import Stock, install, personalise, stock_of
from devices.nfc.emulated.personalisation.test_ca import Authority, CaPublicKey, ensure_authority
from devices.nfc.emulated.profile import CardProfile
from devices.nfc.emulated.profile_files import load_profile, profile_names
from devices.nfc.emulated.state_file import CardFileError, CardInUse, card_path
from devices.nfc.emulated.toml_reader import ProfileError

__all__ = [
    "Authority",
    "Behaviour",
    "CaPublicKey",
    "CardFileError",
    "CardInUse",
    "CardProfile",
    "Delay",
    "EmulatedCard",
    "InProcessReader",
    "LimitedUseKey",
    "ProfileError",
    "Pull",
    "State",
    "Stock",
    "card_path",
    "ensure_authority",
    "in_process",
    "install",
    "load_profile",
    "open_card",
    "personalise",
    "profile_names",
    "stock_of",
]
