"""Everything that can be set, in one frozen value with every default stated."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_network
from pathlib import Path

from platformdirs import user_data_path

#: The name of this project where packages are installed from.
DISTRIBUTION = "checkout-qr-nfc"
DEFAULT_PORT = 8000
SWITCH_PORT = 8583
#: The environment variable that hands a Config to the processes of `checkout serve`.
ENVIRONMENT = "CHECKOUT_ROLE_CONFIG"


class ConfigError(ValueError):
    """A setting that cannot be used; `field` is the option's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def default_home() -> Path:
    """`CHECKOUT_HOME`, else the user's data directory of this system."""
    named = os.environ.get("CHECKOUT_HOME")
    if named:
        return Path(named).expanduser().absolute()
    return user_data_path("checkout", appauthor=False)


def installed_version() -> str:
    """The version of this installation; "unknown" in a source tree that was never installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def make_home(home: Path) -> None:
    """Create the home folder; ConfigError where that is not possible."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError("CHECKOUT_HOME", f"cannot make the folder {home} ({why})") from None
    if not os.access(home, os.W_OK | os.X_OK):
        raise ConfigError("CHECKOUT_HOME", f"the folder {home} is not writable for this user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """The shop as the messages name it (DE18, 19, 32, 33, 41, 42, 43)."""

    name: str = "Lane Tea House"
    city: str = "SHANGHAI"
    country: str = "156"
    country_alpha: str = "CN"
    mcc: str = "5812"
    merchant_id: str = "999156058120001"
    terminal_id: str = "10000001"
    acquirer: str = "90020001"
    forwarder: str = "90020001"

    @property
    def name_and_place(self) -> str:
        """DE43: name in 25 characters, city in 13, country in 2."""
        return f"{self.name[:25]:<25}{self.city[:13]:<13}{self.country_alpha}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How one checkout runs; the processes of `checkout serve` share it."""

    home: Path = field(default_factory=default_home)
    database: str = ""  # URL or path; empty: checkout.db in `home`
    host: str = "0.0.0.0"  # noqa: S104 - phones on the LAN must reach the payer's pages
    port: int = DEFAULT_PORT
    reader: str = "auto"
    public_url: str | None = None
    #: Addresses and networks of the proxies whose X-Forwarded-For and -Proto count.
    trusted_proxies: tuple[str, ...] = ()
    https: bool = False
    workers: int = 1
    order_ttl_s: int = 900
    code_ttl_s: int = 60
    order_limit_minor: int = 5_000_000  # CNY 50,000.00; the same digits in other currencies
    #: Codes from a phone pay this much without a PIN, CNY 1,000.00; in other currencies nothing.
    payer_code_no_pin_minor: int = 100_000
    payer_wait_s: float = 65.0  # for the PIN on the phone, then the shop revokes
    pin_tries: int = 3
    clearing_timeout_s: float = 10.0
    heartbeat_s: float = 10.0
    reversal_retry_s: float = 2.0
    merchant: Merchant = field(default_factory=Merchant)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("port", f"expected 0 to 65535, got {self.port}")
        if not 1 <= self.workers <= 64:
            raise ConfigError("workers", f"expected 1 to 64, got {self.workers}")
        if self.public_url is not None and not self.public_url.lower().startswith(
            ("http://", "https://")
        ):
            raise ConfigError(
                "public-url", f"expected http:// or https://, got {self.public_url!r}"
            )

        for proxy in self.trusted_proxies:
            try:
                ip_network(proxy, strict=False)
            except ValueError:
                raise ConfigError(
                    "trusted-proxy", f"expected an IP address or network, got {proxy!r}"
                ) from None

    @property
    def database_url(self) -> str:
        """The database as a URL."""
        if not self.database:
            return f"sqlite:///{self.home / 'checkout.db'}"
        if "://" in self.database:
            return self.database
        return f"sqlite:///{Path(self.database).expanduser().absolute()}"


def encode_config(config: Config) -> str:
    """JSON of every setting."""
    return json.dumps(asdict(config) | {"home": str(config.home)})


def decode_config(text: str) -> Config:
    """The Config that `encode_config` wrote."""
    plain = json.loads(text)
    plain["home"] = Path(plain["home"])
    plain["trusted_proxies"] = tuple(plain["trusted_proxies"])
    plain["merchant"] = Merchant(**plain["merchant"])
    return Config(**plain)
