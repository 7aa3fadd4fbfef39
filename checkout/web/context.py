"""What all pages share: the shop at hand, the filters of the templates, signed references."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from flask import Flask, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer

from checkout.money import Money
from checkout.web import assets
from checkout.web.access.guard import Door
from checkout.web.access.rate_limit import SharedAttempts
from checkout.web.attempts import Attempts
from checkout.web.idempotency import Answers

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

_ZONE = ZoneInfo("Asia/Shanghai")


def install(app: Flask, shop: Shop) -> None:
    """Give the templates of `app` their filters and every request the shop."""
    app.extensions["checkout.shop"] = shop
    app.extensions["checkout.answers"] = Answers(
        shop.engine, seal=shop.seal, clock=shop.orders.clock
    )
    app.extensions["checkout.guesses"] = SharedAttempts(
        shop.engine, "codes", limit=20, window_s=60, clock=shop.orders.clock
    )
    # Reading a picture costs a core some milliseconds; live scanning sends four a second.
    app.extensions["checkout.pictures"] = Attempts(limit=400, window_s=60)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        decimal=decimal,
        duration=duration,
        clock=clock_time,
        day=day,
        asset=asset,
        size=size,
        tail=lambda masked: "•• " + masked[-4:],
        capitalize_first=lambda said: said[:1].upper() + said[1:],
    )
    app.context_processor(lambda: {"merchant": shop.config.merchant})


def the_shop() -> Shop:
    """The shop behind this request."""
    return cast("Shop", current_app.extensions["checkout.shop"])


def the_answers() -> Answers:
    """The stored answers of this shop."""
    return cast(Answers, current_app.extensions["checkout.answers"])


def the_guesses() -> SharedAttempts:
    """Who has guessed at codes lately."""
    return cast(SharedAttempts, current_app.extensions["checkout.guesses"])


def the_pictures() -> Attempts:
    """Who has sent pictures to be read lately."""
    return cast(Attempts, current_app.extensions["checkout.pictures"])


def seal(purpose: str, value: Any) -> str:
    """`value` signed for one `purpose`, fit for a URL or a cookie."""
    return str(_serializer(purpose).dumps(value))


def unseal(purpose: str, sealed: str) -> Any:
    """What `seal` signed; None when it was not us."""
    try:
        return _serializer(purpose).loads(sealed)
    except BadSignature:
        return None


def _serializer(purpose: str) -> URLSafeSerializer:
    door = cast(Door, current_app.extensions["checkout.door"])
    return URLSafeSerializer(door.credentials.signing_key, salt=purpose)


def is_encrypted() -> bool:
    """Whether the visitor's connection is encrypted, here or at the proxy of the public URL."""
    public = the_shop().config.public_url or ""
    host = public.lower().removeprefix("https://").split("/", 1)[0]
    return request.is_secure or (
        public.lower().startswith("https://") and host == request.host.lower()
    )


def decimal(amount_minor: int, currency: str) -> str:
    """Minor units as digits with the currency's decimals and grouped thousands."""
    plain = Money(amount_minor=amount_minor, currency=currency).decimal()
    whole, dot, fraction = plain.partition(".")
    sign, digits = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{dot}{fraction}"


def duration(elapsed_ms: float) -> str:
    """Milliseconds as a person reads them: ``38.2 ms``, ``4.2 s``, ``2 min 5 s``."""
    if elapsed_ms < 0.005:
        return "0 ms"
    if elapsed_ms < 100:
        return f"{elapsed_ms:.{2 if elapsed_ms < 1 else 1}f} ms"
    if elapsed_ms < 1000:
        return f"{elapsed_ms:.0f} ms"
    if elapsed_ms < 60_000:
        return f"{elapsed_ms / 1000:.1f} s"
    minutes, seconds = divmod(round(elapsed_ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def size(count: int) -> str:
    """A count of bytes: ``312 B``, ``4.1 kB``."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"


def clock_time(instant: datetime) -> str:
    """The time of day in the shop (Asia/Shanghai)."""
    return instant.astimezone(_ZONE).strftime("%H:%M:%S")


def day(instant: datetime) -> str:
    """Date and time in the shop (Asia/Shanghai)."""
    return instant.astimezone(_ZONE).strftime("%Y-%m-%d %H:%M")


def asset(name: str) -> str:
    """The address of a static file, changing with its content so that browsers may keep it."""
    return f"/static/{name}?v={_version(name, _modified(name))}"


def _modified(name: str) -> int:
    return (assets.static_folder() / name).stat().st_mtime_ns


@lru_cache(maxsize=64)
def _version(name: str, _modified_ns: int) -> str:
    from checkout.web.idempotency import fingerprint

    return fingerprint(Path(assets.static_folder() / name).read_bytes())[:10]
