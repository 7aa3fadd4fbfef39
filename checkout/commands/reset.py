"""`checkout reset`: the demo afresh."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from sqlalchemy import inspect

from checkout.clearing.switch import discovery
from checkout.commands.common import CommandError, console
from checkout.config import Config, make_home
from checkout.database import is_postgresql, open_engine, sqlite_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout reset`."""

    database: str


def run(options: Options) -> int:
    """Remove orders, payments, ledger, PIN counters and cards; keys and password stay."""
    config = Config(database=options.database)
    make_home(config.home)
    if discovery.find_switch(config.home, config.database_url) is not None:
        raise CommandError("database: a checkout is running on it; stop that first")
    if is_postgresql(config.database_url):
        engine = open_engine(config.database_url)
        ours = inspect(engine).get_table_names()
        with engine.begin() as connection:
            # The database may hold other tables too; only ours have these prefixes.
            for name in ours:
                if name.startswith(("shop_", "clearing_", "web_")):
                    connection.exec_driver_sql(f'DROP TABLE "{name}" CASCADE')
        engine.dispose()
    else:
        path = sqlite_path(config.database_url)
        if not path.parent.is_dir():
            if options.database:
                raise CommandError(f"database: the folder {path.parent} does not exist")
        elif path.exists():
            open_engine(config.database_url).dispose()  # refuses a file that is not ours
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    shutil.rmtree(config.home / "cards", ignore_errors=True)
    console().print("The demo starts afresh: no orders, full accounts, new cards.")
    return 0
