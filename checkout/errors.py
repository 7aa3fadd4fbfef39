"""The error for what a caller did wrong; pages, API and commands show it."""

from __future__ import annotations


class ShopError(Exception):
    """A request that the shop refuses.

    `kind` is a stable name of the reason, the message one line for a person, and `field` the part
    of the request that is wrong, where there is one.
    """

    def __init__(self, kind: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.field = field
