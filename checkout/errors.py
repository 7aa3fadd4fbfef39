"""What a caller did wrong, as one value for pages, API and commands."""

from __future__ import annotations


class ShopError(Exception):
    """A request that the shop refuses; `kind` is stable, the message one line for a person."""

    def __init__(self, kind: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.field = field
