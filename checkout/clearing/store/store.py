"""The clearing tables as the switch reads them, and the batch of rows that it writes next.

A batch is everything decided in one turn of the switch's loop. It lives in memory until `commit`,
and the later messages of the turn read it there. `commit` makes the whole batch durable at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from checkout.clearing.ledger.ledger import (
    LEGS_PER_ENTRY,
    ZERO,
    Balance,
    LedgerError,
    Status,
    Transfer,
    step,
)
from checkout.clearing.store import schema
from checkout.clearing.store.engine import Engine, Row, Statement
from checkout.clearing.store.recent_keys import SECOND, RecentKeys
from checkout.clearing.store.rows import (
    SELECT_ENTRY,
    SELECT_MESSAGE,
    SELECT_TRANSFER,
    EntryRow,
    MessageRow,
    ResolutionRow,
    entry_row,
    message_row,
    transfer_row,
)
from checkout.clearing.store.worker_process import WorkerProcess
from checkout.clearing.store.write_behind import WriteBehindEngine


@dataclass(slots=True)
class _Batch:
    messages: dict[int, MessageRow] = field(default_factory=dict)
    by_key: dict[str, MessageRow] = field(default_factory=dict)
    entries: dict[int, EntryRow] = field(default_factory=dict)
    followers: dict[int, list[EntryRow]] = field(default_factory=dict)
    transfers: dict[int, tuple[Transfer, ...]] = field(default_factory=dict)
    resolutions: dict[int, ResolutionRow] = field(default_factory=dict)
    accounts: list[Row] = field(default_factory=list)
    balances: set[str] = field(default_factory=set)
    forestalled: dict[str, int] = field(default_factory=dict)
    others: dict[tuple[str, str], Row] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.messages or self.entries or self.resolutions or self.others)


_PAYER = "payer/"
_PENDING = (
    "FROM clearing_entries e LEFT JOIN clearing_resolutions r ON r.entry = e.id "
    "WHERE e.status = 'pending' AND r.entry IS NULL AND "
)


class Store:
    """The clearing tables with their uncommitted batch; used by one thread, the only writer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._write_behind = engine if isinstance(engine, WriteBehindEngine) else None
        engine.define(schema.TABLES)
        self._batch = _Batch()
        self._balances: dict[str, Balance] = {}
        self._account_ids: dict[str, int] = {}
        self._numbers: dict[str, int | None] = {}
        self._next_seq = 1
        self._load()

    def _load(self) -> None:
        self._batch = _Batch()
        self._balances.clear()
        self._numbers.clear()
        rows = self._engine.query("SELECT name, id FROM clearing_accounts")
        self._account_ids = dict(rows)
        # Opening entries take numbers that no message has.
        tops = (
            self._engine.query("SELECT coalesce(max(seq), 0) FROM clearing_messages")[0][0],
            self._engine.query("SELECT coalesce(max(id), 0) FROM clearing_entries")[0][0],
        )
        # The next number never goes down: a number that was given out is used, written or not.
        self._next_seq = max(*map(int, tops), self._next_seq - 1) + 1
        latest = self._engine.query("SELECT max(message_key) FROM clearing_messages")[0][0]
        self._recent = RecentKeys((latest or "")[:SECOND])
        forestalled = self._engine.query("SELECT message_key FROM clearing_forestalled")
        self._forestalled = {key for (key,) in forestalled}

    # -- reading, the uncommitted batch included ------------------------------------------------

    def next_seq(self) -> int:
        """A new number for a message and the entry that it makes."""
        self._next_seq += 1
        return self._next_seq - 1

    def message_by_key(self, key: str) -> MessageRow | None:
        """The logged message that carried `key`, with its response."""
        if not self._recent.may_exist(key):
            return None
        found = self._batch.by_key.get(key)
        if found is not None:
            return found
        rows = self._engine.query(SELECT_MESSAGE + "message_key = ?", (key,))
        return message_row(rows[0]) if rows else None

    def entry(self, entry_id: int) -> EntryRow | None:
        """One entry by its id."""
        found = self._batch.entries.get(entry_id)
        if found is not None:
            return found
        rows = self._engine.query(SELECT_ENTRY + "id = ?", (entry_id,))
        return entry_row(rows[0]) if rows else None

    def followers(self, entry_id: int) -> tuple[EntryRow, ...]:
        """The entries that name this one as their original: refunds, completions, disputes."""
        rows = self._engine.query(SELECT_ENTRY + "original = ? ORDER BY id", (entry_id,))
        written = tuple(entry_row(row) for row in rows)
        return written + tuple(self._batch.followers.get(entry_id, ()))

    def transfers(self, entry_id: int) -> tuple[Transfer, ...]:
        """The transfers of one entry."""
        found = self._batch.transfers.get(entry_id)
        if found is not None:
            return found
        first = entry_id * LEGS_PER_ENTRY
        rows = self._engine.query(
            SELECT_TRANSFER + "t.id BETWEEN ? AND ? ORDER BY t.id",
            (first, first + LEGS_PER_ENTRY - 1),
        )
        return tuple(transfer_row(row) for row in rows)

    def status(self, entry: EntryRow) -> Status:
        """How far an entry has come by now."""
        found = self.resolution(entry.id)
        return entry.status if found is None else found.status

    def resolution(self, entry_id: int) -> ResolutionRow | None:
        """How a pending entry ended; None while it hasn't."""
        found = self._batch.resolutions.get(entry_id)
        if found is not None:
            return found
        rows = self._engine.query(
            "SELECT entry, status, at_us, business_date, cause FROM clearing_resolutions "
            "WHERE entry = ?",
            (entry_id,),
        )
        if not rows:
            return None
        entry, status, at_us, business_date, cause = rows[0]
        return ResolutionRow(
            entry=entry,
            status=Status(status),
            at_us=at_us,
            business_date=business_date,
            cause=cause,
        )

    def balance(self, account: str) -> Balance:
        """The balance of a payer's account; other accounts are summed where they are read."""
        found = self._balances.get(account)
        if found is None:
            found = self._read_balance(account)
            self._balances[account] = found
        return found

    def is_forestalled(self, key: str) -> bool:
        """Whether the message of this key was reversed before it arrived."""
        return key in self._forestalled

    def number(self, name: str) -> int | None:
        """The number stored under a name; None where there is none."""
        if name not in self._numbers:
            read = "SELECT amount FROM clearing_numbers WHERE name = ?"
            rows = self._engine.query(read, (name,), flushed=False)  # memory has all under way
            self._numbers[name] = rows[0][0] if rows else None
        return self._numbers[name]

    def put_number(self, name: str, amount: int) -> None:
        """Store a number under a name."""
        self._numbers[name] = amount
        self.put(schema.PUT_NUMBER, name, (name, amount))

    def query(self, sql: str, parameters: Row = (), *, flushed: bool = True) -> list[Row]:
        """Rows as they were last committed; for reads off the path of a payment.

        Without `flushed` the read doesn't wait for rows that are being written. That is right only
        where the caller has every row of its own that is under way in memory.
        """
        return self._engine.query(sql, parameters, flushed=flushed)

    # -- adding to the batch --------------------------------------------------------------------

    def add_message(self, row: MessageRow) -> None:
        """Log a request and its response."""
        self._batch.messages[row.seq] = row
        if row.key is not None:
            self._batch.by_key[row.key] = row
            self._recent.add(row.key)

    def enter(self, entry: EntryRow, transfers: tuple[Transfer, ...]) -> None:
        """Add an entry; LedgerError where its id is taken or a transfer isn't its own."""
        if entry.id in self._batch.entries:
            raise LedgerError(f"entry {entry.id}: exists already")
        if transfers and not transfers[0].entry == transfers[-1].entry == entry.id:
            raise LedgerError(f"entry {entry.id}: a transfer of another entry")
        self._move(transfers, None, entry.status)
        self._batch.entries[entry.id] = entry
        self._batch.transfers[entry.id] = transfers
        if entry.original is not None:
            self._batch.followers.setdefault(entry.original, []).append(entry)

    def resolve_many(
        self, selection: str, parameters: Row, status: Status, turn: tuple[int, int, int]
    ) -> int:
        """End every pending entry that `selection` (a condition on `e`) picks; returns how many.

        `turn` is instant, business date and cause. Commits what this turn has decided before, then
        ends the entries by one statement, however many there are.
        """
        self.commit()
        picked = _PENDING + selection
        count = self._engine.query(f"SELECT count(*) {picked}", parameters)[0][0]
        if not count:
            return 0
        moved = self._engine.query(
            "SELECT a.name, sum(m.debits), sum(m.credits) FROM ("  # noqa: S608 - no outside text
            "SELECT t.debit AS account, t.amount_minor AS debits, 0 AS credits "
            f"FROM clearing_transfers t WHERE t.entry IN (SELECT e.id {picked}) UNION ALL "
            "SELECT t.credit, 0, t.amount_minor "
            f"FROM clearing_transfers t WHERE t.entry IN (SELECT e.id {picked})"
            ") m JOIN clearing_accounts a ON a.id = m.account "
            "WHERE a.name LIKE 'payer/%' GROUP BY a.name",
            parameters + parameters,
        )
        posted = int(status is Status.POSTED)
        for name, debits, credits in moved:
            change = Balance(
                debits_pending=-int(debits),
                credits_pending=-int(credits),
                debits_posted=posted * int(debits),
                credits_posted=posted * int(credits),
            )
            self._balances[name] = self.balance(name).plus(change)
            self._batch.balances.add(name)
        insert = f"INSERT INTO clearing_resolutions SELECT e.id, ?, ?, ?, ? {picked}"
        self._batch.others[(insert, "")] = (status.value, *turn, *parameters)
        self.commit()
        return int(count)

    def first_expiry_us(self) -> int | None:
        """When the first hold that is committed and pending runs out; None where none does."""
        rows = self._engine.query(f"SELECT min(e.expires_us) {_PENDING} e.expires_us IS NOT NULL")
        return rows[0][0]  # type: ignore[no-any-return]

    def resolve(self, entry: EntryRow, resolution: ResolutionRow) -> None:
        """Post, void or expire a pending entry; LedgerError where it has ended already."""
        self._move(self.transfers(entry.id), self.status(entry), resolution.status)
        self._batch.resolutions[entry.id] = resolution

    def forestall(self, key: str, at_us: int) -> None:
        """Record that the message of this key is to be refused when it arrives."""
        self._batch.forestalled[key] = at_us
        self._forestalled.add(key)

    def put(self, sql: str, name: str, row: Row) -> None:
        """Write a row at the next commit; a later one of the same name replaces it."""
        self._batch.others[(sql, name)] = row

    # -- making it durable ----------------------------------------------------------------------

    def commit(self) -> None:
        """Write the batch in one durable transaction; DatabaseError leaves nothing of it."""
        if self._batch.is_empty():
            self.flush()
            return
        self._engine.write(self._statements())
        self._batch = _Batch()

    def hand_over(self, *, busy: bool) -> bool:
        """Have the other process write the batch, which is durable once `flush` has returned.

        False where no process takes it; the batch then stays as it was. A `busy` switch starts such
        a process for later turns. Reads wait until the batch is written.
        """
        message = next(iter(self._batch.messages), None)
        if message is None or self._write_behind is None:
            return False
        if not self._write_behind.writer.is_ready(start=busy):
            return False
        taken = self._write_behind.hand_over(self._statements(), message)
        if taken:
            self._batch = _Batch()
        return taken

    def flush(self) -> None:
        """Wait until the batch handed over is durable; DatabaseError where it can't be written."""
        if self._write_behind is not None:
            self._write_behind.flush()

    @property
    def writer(self) -> WorkerProcess | None:
        """The process that writes batches and replies to each; None where there is none."""
        return None if self._write_behind is None else self._write_behind.writer

    @property
    def is_clean(self) -> bool:
        """Whether every row that was added has been written."""
        return self._batch.is_empty() and (
            self._write_behind is None or self._write_behind.is_flushed
        )

    def roll_back(self) -> None:
        """Forget the batch, all derived from it, and a batch handed over that failed."""
        if self._write_behind is not None:
            self._write_behind.abandon()
        self._load()

    def close(self) -> None:
        """Close the connection."""
        self._engine.close()

    # -- parts ----------------------------------------------------------------------------------

    def _statements(self) -> list[Statement]:
        """The batch as statements with rows of plain values, which pickle fastest."""
        batch, number = self._batch, self._account_id
        transfers = [
            (identity, entry, number(debit), number(credit), amount_minor, purpose)
            for legs in batch.transfers.values()
            for identity, entry, debit, credit, amount_minor, _, purpose in legs
        ]
        balances = [self._balance_row(name) for name in batch.balances]
        entries = [(*row[:3], row.status.value, *row[4:]) for row in batch.entries.values()]
        statements: list[tuple[str, list[Row]]] = [
            (schema.ADD_ACCOUNT, batch.accounts),
            (schema.ADD_MESSAGE, list(map(tuple, batch.messages.values()))),
            (schema.ADD_ENTRY, entries),
            (schema.ADD_TRANSFER, transfers),
            (schema.ADD_RESOLUTION, list(batch.resolutions.values())),
            (schema.PUT_BALANCE, balances),
            (schema.PUT_FORESTALLED, list(batch.forestalled.items())),
        ]
        grouped: dict[str, list[Row]] = {}
        for (sql, _), row in batch.others.items():
            grouped.setdefault(sql, []).append(row)
        statements += grouped.items()
        return [(sql, rows) for sql, rows in statements if rows]

    def _move(self, transfers: Iterable[Transfer], before: Status | None, after: Status) -> None:
        """Update payers' balances. Totals of other accounts are summed where they are read."""
        pending, posted = step(before, after)
        for _, _, debit, credit, amount_minor, _, _ in transfers:
            held, settled = pending * amount_minor, posted * amount_minor
            if debit[:6] == _PAYER:
                self._balances[debit] = self.balance(debit).debited(held, settled)
                self._batch.balances.add(debit)
            if credit[:6] == _PAYER:
                self._balances[credit] = self.balance(credit).credited(held, settled)
                self._batch.balances.add(credit)

    def _account_id(self, name: str) -> int:
        found = self._account_ids.get(name)
        if found is None:
            found = len(self._account_ids) + 1
            self._account_ids[name] = found
            self._batch.accounts.append((found, name))
        return found

    def _read_balance(self, account: str) -> Balance:
        number = self._account_ids.get(account)
        if number is None:
            return ZERO
        rows = self._engine.query(
            "SELECT debits_pending, credits_pending, debits_posted, credits_posted "
            "FROM clearing_balances WHERE account = ?",
            (number,),
            flushed=False,  # memory has every balance under way
        )
        if not rows:
            return ZERO
        debits_pending, credits_pending, debits_posted, credits_posted = rows[0]
        return Balance(
            debits_pending=debits_pending,
            credits_pending=credits_pending,
            debits_posted=debits_posted,
            credits_posted=credits_posted,
        )

    def _balance_row(self, name: str) -> Row:
        balance = self._balances[name]
        return (
            self._account_id(name),
            balance.debits_pending,
            balance.credits_pending,
            balance.debits_posted,
            balance.credits_posted,
        )
