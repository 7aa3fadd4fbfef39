"""The clearing tables. Instants are microseconds since the epoch, dates yyyymmdd, both integers.

Only the switch writes them; everyone may read. Written in SQLite's types: PostgreSQL's engine reads
INTEGER as BIGINT and BLOB as BYTEA.
"""

from __future__ import annotations

TABLES: tuple[str, ...] = (
    # One row a request with its response; card numbers in the bytes are masked.
    """CREATE TABLE IF NOT EXISTS clearing_messages (
        seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, took_us INTEGER NOT NULL,
        peer TEXT NOT NULL, message_type TEXT NOT NULL, kind TEXT NOT NULL, message_key TEXT,
        account TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL,
        response_code TEXT NOT NULL, reason TEXT NOT NULL, approval_code TEXT, rrn TEXT NOT NULL,
        stan INTEGER NOT NULL, terminal TEXT NOT NULL, merchant TEXT NOT NULL,
        request BLOB NOT NULL, response BLOB)""",
    """CREATE UNIQUE INDEX IF NOT EXISTS clearing_messages_key
        ON clearing_messages (message_key) WHERE message_key IS NOT NULL""",
    "CREATE INDEX IF NOT EXISTS clearing_messages_rrn ON clearing_messages (rrn)",
    # One business event that moves money; its id is the seq of the message that caused it.
    """CREATE TABLE IF NOT EXISTS clearing_entries (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, house TEXT NOT NULL, status TEXT NOT NULL,
        business_date INTEGER NOT NULL, at_us INTEGER NOT NULL, expires_us INTEGER,
        original INTEGER, payer TEXT NOT NULL, amount_minor INTEGER NOT NULL,
        currency TEXT NOT NULL, billing_minor INTEGER NOT NULL, billing_currency TEXT NOT NULL,
        acquirer TEXT NOT NULL, holder TEXT NOT NULL, merchant TEXT NOT NULL, mcc TEXT NOT NULL,
        rrn TEXT NOT NULL, initiation TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS clearing_entries_date ON clearing_entries (business_date)",
    """CREATE INDEX IF NOT EXISTS clearing_entries_original
        ON clearing_entries (original) WHERE original IS NOT NULL""",
    """CREATE INDEX IF NOT EXISTS clearing_entries_expiry
        ON clearing_entries (expires_us) WHERE expires_us IS NOT NULL""",
    "CREATE INDEX IF NOT EXISTS clearing_entries_rrn ON clearing_entries (rrn)",
    # Immutable; the id is the entry's times 16 plus the leg's place in it.
    """CREATE TABLE IF NOT EXISTS clearing_transfers (
        id INTEGER PRIMARY KEY, entry INTEGER NOT NULL, debit INTEGER NOT NULL,
        credit INTEGER NOT NULL, amount_minor INTEGER NOT NULL, purpose TEXT NOT NULL)""",
    # How a pending entry ended; at most one row an entry.
    """CREATE TABLE IF NOT EXISTS clearing_resolutions (
        entry INTEGER PRIMARY KEY, status TEXT NOT NULL, at_us INTEGER NOT NULL,
        business_date INTEGER NOT NULL, cause INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_accounts (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)""",
    # Totals of payers' accounts alone; they must agree with the transfers.
    """CREATE TABLE IF NOT EXISTS clearing_balances (
        account INTEGER PRIMARY KEY, debits_pending INTEGER NOT NULL,
        credits_pending INTEGER NOT NULL, debits_posted INTEGER NOT NULL,
        credits_posted INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_holders (
        account TEXT PRIMARY KEY, status TEXT NOT NULL, pin_kept BLOB,
        pin_tries_left INTEGER NOT NULL, spent_minor INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_counters (
        card TEXT PRIMARY KEY, atc INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_usage (
        account TEXT NOT NULL, day INTEGER NOT NULL, day_minor INTEGER NOT NULL,
        static_minor INTEGER NOT NULL, dynamic_minor INTEGER NOT NULL, day_count INTEGER NOT NULL,
        PRIMARY KEY (account, day))""",
    # Originals that were reversed before they arrived.
    """CREATE TABLE IF NOT EXISTS clearing_forestalled (
        message_key TEXT PRIMARY KEY, at_us INTEGER NOT NULL)""",
    # One row a closed day: its report, which a second close returns unchanged.
    """CREATE TABLE IF NOT EXISTS clearing_settlements (
        business_date INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, report TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_disputes (
        entry INTEGER PRIMARY KEY, state TEXT NOT NULL, details TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_tokens (
        number TEXT PRIMARY KEY, account TEXT NOT NULL, state TEXT NOT NULL,
        details TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_phone_keys (
        payment_token TEXT NOT NULL, serial INTEGER NOT NULL, uses_allowed INTEGER NOT NULL,
        uses INTEGER NOT NULL, expires_us INTEGER NOT NULL,
        PRIMARY KEY (payment_token, serial))""",
    # Demo accounts of real cards: the number is a surrogate.
    """CREATE TABLE IF NOT EXISTS clearing_enrolled (
        account TEXT PRIMARY KEY, last_four TEXT NOT NULL, account_class TEXT NOT NULL,
        balance_minor INTEGER NOT NULL, at_us INTEGER NOT NULL)""",
    # Approved in an issuer's place; `message` is emptied once the issuer has been sent it.
    """CREATE TABLE IF NOT EXISTS clearing_forwarding (
        seq INTEGER PRIMARY KEY, participant TEXT NOT NULL, account TEXT NOT NULL,
        amount_minor INTEGER NOT NULL, state TEXT NOT NULL, message BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS clearing_numbers (
        name TEXT PRIMARY KEY, amount INTEGER NOT NULL)""",
)

ADD_MESSAGE = (
    "INSERT INTO clearing_messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_ENTRY = (
    "INSERT INTO clearing_entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_TRANSFER = "INSERT INTO clearing_transfers VALUES (?, ?, ?, ?, ?, ?)"
ADD_RESOLUTION = "INSERT INTO clearing_resolutions VALUES (?, ?, ?, ?, ?)"
ADD_ACCOUNT = "INSERT INTO clearing_accounts VALUES (?, ?)"
PUT_BALANCE = (
    "INSERT INTO clearing_balances VALUES (?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET "
    "debits_pending = excluded.debits_pending, credits_pending = excluded.credits_pending, "
    "debits_posted = excluded.debits_posted, credits_posted = excluded.credits_posted"
)
PUT_HOLDER = (
    "INSERT INTO clearing_holders VALUES (?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET "
    "status = excluded.status, pin_kept = excluded.pin_kept, "
    "pin_tries_left = excluded.pin_tries_left, spent_minor = excluded.spent_minor"
)
PUT_COUNTER = (
    "INSERT INTO clearing_counters VALUES (?, ?) "
    "ON CONFLICT (card) DO UPDATE SET atc = excluded.atc"
)
PUT_USAGE = (
    "INSERT INTO clearing_usage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account, day) DO UPDATE SET "
    "day_minor = excluded.day_minor, static_minor = excluded.static_minor, "
    "dynamic_minor = excluded.dynamic_minor, day_count = excluded.day_count"
)
PUT_ENROLLED = "INSERT INTO clearing_enrolled VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
PUT_FORESTALLED = "INSERT INTO clearing_forestalled VALUES (?, ?) ON CONFLICT DO NOTHING"
PUT_NUMBER = (
    "INSERT INTO clearing_numbers VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET amount = excluded.amount"
)
PUT_PAYMENT_TOKEN = (
    "INSERT INTO clearing_tokens VALUES (?, ?, ?, ?) "  # noqa: S105
    "ON CONFLICT (number) DO UPDATE SET "
    "state = excluded.state, details = excluded.details"
)
ADD_SETTLEMENT = "INSERT INTO clearing_settlements VALUES (?, ?, ?)"
PUT_DISPUTE = (
    "INSERT INTO clearing_disputes VALUES (?, ?, ?) ON CONFLICT (entry) DO UPDATE SET "
    "state = excluded.state, details = excluded.details"
)
PUT_PHONE_KEY = (
    "INSERT INTO clearing_phone_keys VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (payment_token, serial) DO UPDATE SET uses = excluded.uses"
)
PUT_FORWARDING = (
    "INSERT INTO clearing_forwarding VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO UPDATE SET "
    "state = excluded.state, message = excluded.message"
)
