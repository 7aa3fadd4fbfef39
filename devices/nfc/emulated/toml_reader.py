"""Reads a TOML table field by field; every field is checked, and an unknown one is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

_Word = TypeVar("_Word", bound=str)


class ProfileError(Exception):
    """A card profile is invalid; `field` names the place, the message what was expected."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class Table:
    """One TOML table; each field is read once, and `end` refuses fields that were not read."""

    def __init__(self, content: Mapping[str, Any], path: str = "") -> None:
        self._left = dict(content)
        self._path = path

    def text(self, name: str, default: str | None = None, *, pattern: str = r".+") -> str:
        value = self._take(name, str, default)
        if not re.fullmatch(pattern, value):
            raise self._wrong(name, f"expected text like {pattern}, got {value!r}")
        return cast(str, value)

    def number(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        value = self._take(name, int, default)
        if not low <= value <= high:
            raise self._wrong(name, f"expected a number from {low} to {high}, got {value}")
        return cast(int, value)

    def numbers(
        self, name: str, default: tuple[int, ...], *, low: int, high: int
    ) -> tuple[int, ...]:
        values = self._take(name, list, list(default))
        for value in values:
            if type(value) is not int or not low <= value <= high:
                raise self._wrong(name, f"expected numbers from {low} to {high}, got {value!r}")
        return tuple(values)

    def flag(self, name: str, default: bool) -> bool:
        return cast(bool, self._take(name, bool, default))

    def hex(self, name: str, default: bytes) -> bytes:
        value = self._take(name, str, default.hex())
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise self._wrong(name, f"expected hex digits, got {value!r}") from None

    def choice(self, name: str, words: tuple[_Word, ...], default: _Word | None = None) -> Any:
        value = self._take(name, str, default)
        if value not in words:
            raise self._wrong(name, f"expected one of {', '.join(words)}, got {value!r}")
        return value

    def choices(self, name: str, words: tuple[_Word, ...], default: tuple[_Word, ...]) -> Any:
        values = self._take(name, list, list(default))
        for value in values:
            if value not in words:
                raise self._wrong(name, f"expected only {', '.join(words)}, got {value!r}")
        return tuple(values)

    def table(self, name: str) -> Table:
        return Table(self._take(name, dict, {}), self._named(name))

    def optional(self, name: str) -> Table | None:
        return self.table(name) if name in self._left else None

    def end(self) -> None:
        """Raise ProfileError where the table has a field that was not read."""
        for name in self._left:
            raise self._wrong(name, "no such field")

    def _take(self, name: str, kind: type, default: Any) -> Any:
        value = self._left.pop(name, default)
        if value is None:
            raise self._wrong(name, "missing")
        if type(value) is not kind:
            raise self._wrong(name, f"expected {_KINDS[kind]}, got {value!r}")
        return value

    def _wrong(self, name: str, message: str) -> ProfileError:
        return ProfileError(self._named(name), message)

    def _named(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


_KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
