"""What every page of one application shares: its shop, stored responses, rate limits and guard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import Flask, current_app

from checkout.web.access import credentials
from checkout.web.access.ended_sessions import EndedSessions
from checkout.web.access.guard import Guard
from checkout.web.access.proxies import TrustedProxies
from checkout.web.access.rate_limit import FailuresInDatabase, FailuresInMemory, RateLimit
from checkout.web.idempotency import StoredResponses
from checkout.web.scanned_picture import PictureReader

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

_EXTENSION = "checkout"
_SIGN_INS, _CODES, _PICTURES, _FORMS = 5, 20, 400, 60
_WINDOW_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """How often one address may guess at the password or key, guess at codes, send pictures, send
    forms that are refused."""

    sign_in: RateLimit
    codes: RateLimit
    pictures: RateLimit
    forms: RateLimit

    @classmethod
    def shared(cls, shop: Shop) -> RateLimits:
        """Guesses counted for all workers on the shop's database; the rest in this process."""
        clock = shop.orders.clock
        sign_ins = FailuresInDatabase(shop.engine, "sign-in")
        codes = FailuresInDatabase(shop.engine, "codes")
        return cls(
            sign_in=RateLimit(sign_ins, limit=_SIGN_INS, window_s=_WINDOW_S, clock=clock),
            codes=RateLimit(codes, limit=_CODES, window_s=_WINDOW_S, clock=clock),
            pictures=_pictures(),
            forms=RateLimit(FailuresInMemory(), limit=_FORMS, window_s=_WINDOW_S),
        )

    @classmethod
    def own(cls) -> RateLimits:
        """Everything counted in this process alone: for pages that live for one sale."""
        return cls(
            sign_in=RateLimit(FailuresInMemory(), limit=_SIGN_INS, window_s=_WINDOW_S),
            codes=RateLimit(FailuresInMemory(), limit=_CODES, window_s=_WINDOW_S),
            pictures=_pictures(),
            forms=RateLimit(FailuresInMemory(), limit=_FORMS, window_s=_WINDOW_S),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """What the views of one application work with."""

    shop: Shop
    responses: StoredResponses
    rate_limits: RateLimits
    guard: Guard
    pictures: PictureReader


def install(app: Flask, shop: Shop, rate_limits: RateLimits | None = None) -> None:
    """Build the context of `app` and guard it; `rate_limits` are the shared ones unless given."""
    limits = rate_limits or RateLimits.shared(shop)
    guard = Guard(
        credentials.ensure(shop.config.home),
        sign_ins=limits.sign_in,
        ended=EndedSessions(shop.engine, clock=shop.orders.clock),
        public_url=shop.config.public_url,
    )
    guard.install(app)
    if shop.config.trusted_proxies:
        proxies = TrustedProxies(app.wsgi_app, shop.config.trusted_proxies)
        app.wsgi_app = proxies  # type: ignore[method-assign]
    app.extensions[_EXTENSION] = WebContext(
        shop=shop,
        responses=StoredResponses(shop.engine, seal=shop.seal, clock=shop.orders.clock),
        rate_limits=limits,
        guard=guard,
        pictures=PictureReader(),
    )


def current_context() -> WebContext:
    """The context of the application behind this request."""
    return cast(WebContext, current_app.extensions[_EXTENSION])


def current_shop() -> Shop:
    """The shop behind this request."""
    return current_context().shop


def _pictures() -> RateLimit:
    # Reading a picture costs a core some milliseconds; live scanning sends four a second.
    return RateLimit(FailuresInMemory(), limit=_PICTURES, window_s=_WINDOW_S)
