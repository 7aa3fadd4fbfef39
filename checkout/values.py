"""Frozen, slotted dataclasses that are made in bulk, built in half the time.

A frozen dataclass sets each field through `object.__setattr__`, which costs more than all else in
making a small value. Here an instance is open while it is being built: it belongs to a class of the
same slots that anyone may set, and becomes what it is to be when all are set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

_Value = TypeVar("_Value")
_builders: dict[type, Callable[[Iterable[Any]], Any]] = {}


def quick(cls: type[_Value]) -> type[_Value]:
    """Decorates a frozen, slotted, keyword-only dataclass that nobody inherits from.

    It stays that in every other way. TypeError for one with a base, factories or `__post_init__`,
    which this knows nothing of.
    """
    names = [one.name for one in fields(cls)]  # type: ignore[arg-type]
    slots = getattr(cls, "__slots__", None)
    plain = cls.__mro__ == (cls, object) and not hasattr(cls, "__post_init__")
    if slots is None or tuple(slots) != tuple(names) or not plain:
        raise TypeError(f"{cls.__name__}: expected a plain dataclass with slots")
    given = []
    within: dict[str, Any] = {
        "_become": object.__setattr__,
        "_new": object.__new__,
        "_open": type(f"_Open{cls.__name__}", (), {"__slots__": tuple(names)}),
        "_class": cls,
    }
    for one in fields(cls):  # type: ignore[arg-type]
        if one.default_factory is not MISSING:
            raise TypeError(f"{cls.__name__}.{one.name}: expected a default that is a value")
        if one.default is MISSING:
            given.append(one.name)
        else:
            within[f"_default_{one.name}"] = one.default
            given.append(f"{one.name}=_default_{one.name}")
    sets = "".join(f"    self.{name} = {name}\n" for name in names)
    targets = "".join(f"self.{name}, " for name in names)
    source = (
        f"def __init__(self, *, {', '.join(given)}):\n"
        f"    _become(self, '__class__', _open)\n{sets}    self.__class__ = _class\n"
        f"def build(values):\n"
        f"    self = _new(_open)\n    ({targets}) = values\n    self.__class__ = _class\n"
        f"    return self\n"
    )
    exec(source, within)  # noqa: S102 - made of the names of fields, as dataclasses does it
    within["__init__"].__annotations__ = cls.__init__.__annotations__
    within["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = within["__init__"]  # type: ignore[method-assign]
    _builders[cls] = within["build"]
    return cls


def build(cls: type[_Value], values: Iterable[Any]) -> _Value:
    """A value of a `quick` class from those of all its fields, in their order."""
    made: _Value = _builders[cls](values)
    return made
