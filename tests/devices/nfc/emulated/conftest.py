from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devices.nfc.emulated import (
    EmulatedCard,
    ensure_authority,
    load_profile,
    open_card,
    personalise,
)
from tests.devices.nfc.emulated.cards_independent import CARD_KEY

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cards_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the test CA; cards are made in it on demand."""
    home = tmp_path_factory.mktemp("cards-home")
    ensure_authority(home)
    return home


@pytest.fixture
def make_card(cards_home: Path) -> Iterator[Callable[..., EmulatedCard]]:
    """A new card of a profile, powered; keyword arguments change the profile's fields."""
    made: list[EmulatedCard] = []

    def make(
        profile_name: str = "unionpay-debit",
        *,
        power: bool = True,
        clock: Callable[[], float] | None = None,
        **changes: Any,
    ) -> EmulatedCard:
        name = f"{profile_name}-{next(_numbers)}"
        profile = replace(load_profile(profile_name), name=name, **changes)
        personalise(profile, card_key=CARD_KEY, home=cards_home, now=clock() if clock else None)
        card = open_card(name, cards_home, **({"clock": clock} if clock else {}))
        made.append(card)
        if power:
            card.power_on()
        return card

    yield make
    for card in made:
        card.power_off()


@pytest.fixture(scope="session")
def ca_keys(cards_home: Path) -> dict[str, dict[str, str]]:
    """The public CA keys as a terminal reads them, by RID."""
    keys = json.loads((cards_home / "keys" / "ca-public.json").read_text())
    return {key["rid"]: key for key in keys}
