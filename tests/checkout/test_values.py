"""Values that are quick to build are the same frozen dataclasses in every other way."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from checkout.values import build, quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What it is measured by."""

    name: str
    amount: int = 3
    secret: str | None = field(default=None, repr=False, compare=False)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """The same, quick to build."""

    name: str
    amount: int = 3
    secret: str | None = field(default=None, repr=False, compare=False)


def test_it_is_built_shown_compared_and_hashed_as_before() -> None:
    for given in ({"name": "a"}, {"name": "b", "amount": 4}, {"name": "c", "secret": "s"}):
        plain, made = Plain(**given), Quick(**given)  # type: ignore[arg-type]
        assert type(made) is Quick
        assert repr(made) == repr(plain).replace("Plain", "Quick")
        assert [getattr(made, one.name) for one in fields(made)] == [
            getattr(plain, one.name) for one in fields(plain)
        ]
        assert made == Quick(**given) and hash(made) == hash(Quick(**given))  # type: ignore[arg-type]
    assert Quick(name="a", secret="s") == Quick(name="a")
    assert Quick(name="a") != Quick(name="b")
    assert replace(Quick(name="a"), amount=9) == Quick(name="a", amount=9)


def test_nothing_of_it_can_be_changed() -> None:
    made = Quick(name="a")
    with pytest.raises(FrozenInstanceError):
        made.amount = 4  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made.name
    with pytest.raises((AttributeError, TypeError)):
        made.other = 1  # type: ignore[attr-defined]
    assert made == Quick(name="a")


@pytest.mark.parametrize("given", [{}, {"name": "a", "other": 1}, {"amount": 1}])
def test_what_is_missing_or_unknown_is_said(given: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="argument"):
        Quick(**given)  # type: ignore[arg-type]


def test_it_goes_through_pickle_and_copy() -> None:
    made = Quick(name="a", amount=5, secret="s")
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert (type(again), again, again.secret) == (Quick, made, "s")


def test_it_is_built_from_all_its_values_in_order() -> None:
    made = build(Quick, ["a", 7, None])
    assert (type(made), made) == (Quick, Quick(name="a", amount=7))
    with pytest.raises(FrozenInstanceError):
        made.amount = 4  # type: ignore[misc]
    for wrong in (["a", 7], ["a", 7, None, 1]):
        with pytest.raises(ValueError, match="unpack"):
            build(Quick, wrong)


def test_what_this_knows_nothing_of_is_refused() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class WithFactory:
        parts: list[int] = field(default_factory=list)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Heir(Plain):
        more: int = 0

    @dataclass(frozen=True, kw_only=True)
    class WithoutSlots:
        name: str

    for refused in (WithFactory, Heir, WithoutSlots):
        with pytest.raises(TypeError, match=refused.__name__):
            quick(refused)
