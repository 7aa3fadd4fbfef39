"""A merchant checkout that takes QR codes and NFC taps and shows what each really does."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from checkout.config import Config
    from checkout.shop.shop import Shop

__all__ = ["create_app"]


def create_app(config: Config | None = None, *, shop: Shop | None = None) -> Flask:
    """The pages and the API as a Flask application; the only wiring.

    Without `shop` one is opened from `config` and closed when the process ends. Raises
    DatabaseError when the database cannot be used.
    """
    # Imported here so that `import checkout` costs nothing to those who take out one part.
    from flask import Flask

    from checkout import web
    from checkout.config import Config
    from checkout.shop.shop import Shop

    if shop is None:
        shop = Shop.open(config or Config())
        atexit.register(shop.close)
    app = Flask("checkout", static_folder=None)
    app.extensions["shop"] = shop
    web.register(app, shop)
    return app
