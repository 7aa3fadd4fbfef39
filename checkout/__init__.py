"""A merchant checkout that takes QR codes and NFC taps and shows what each really does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checkout.web import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> object:
    # Imported on first use: `import checkout` loads no Flask for those who take out one part.
    if name == "create_app":
        from checkout.web import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
