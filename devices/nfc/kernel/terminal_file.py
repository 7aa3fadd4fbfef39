"""Terminal data from a TOML file whose lines name the EMV tag that they fill.

`terminal_china.toml` and `terminal_abroad.toml` beside this module are documented examples.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Final

from devices.nfc.kernel.ca_keys import CaKeyError, CaKeyRing, Revocation, hex_field, read_ca_key
from devices.nfc.kernel.terminal import Application, Kernel, Limits, TerminalData
from devices.nfc.kernel.transaction import Transaction


class TerminalError(Exception):
    """Terminal data that can't be used; names the table and the field."""

    def __init__(self, place: str, field: str, message: str) -> None:
        super().__init__(f"{place}: {field}: {message}")
        self.place = place
        self.field = field


def load_terminal(source: str | Path) -> TerminalData:
    """Terminal data from a TOML file; "china" and "abroad" name those of the package.

    Raises TerminalError naming table and field, or OSError where the file can't be read.
    """
    if source in ("china", "abroad"):
        text = resources.files(__package__).joinpath(f"terminal_{source}.toml").read_text("utf-8")
    else:
        text = Path(source).read_text("utf-8")
    return parse_terminal(text)


def parse_terminal(text: str) -> TerminalData:
    """Terminal data from TOML text. Raises TerminalError naming table and field."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TerminalError("terminal file", "TOML", str(error)) from None
    top = tables.get("terminal")
    if not isinstance(top, dict):
        raise TerminalError("terminal file", "[terminal]", "expected this table")
    _check_keys(tables)
    currency = _digits(top, "currency", 3, "[terminal]")
    shared = [_limits(table, currency, "[[limits]]") for table in tables.get("limits", [])]
    applications = tuple(
        _application(table, f"[[application]] #{n}", currency, shared)
        for n, table in enumerate(tables.get("application", []), 1)
    )
    if not applications:
        raise TerminalError("terminal file", "[[application]]", "expected at least one")
    category_code = b"R"
    if "category_code" in top:
        category_code = _bytes(top, "category_code", 1, "[terminal]")
    return TerminalData(
        name=str(tables.get("name", "terminal")),
        country=_digits(top, "country", 3, "[terminal]"),
        currency=currency,
        terminal_type=_bytes(top, "type", 1, "[terminal]"),
        capabilities=_bytes(top, "capabilities", 3, "[terminal]"),
        capabilities_cvm_required=_bytes(top, "capabilities_cvm_required", 1, "[terminal]")[0],
        capabilities_no_cvm=_bytes(top, "capabilities_no_cvm", 1, "[terminal]")[0],
        additional_capabilities=_bytes(top, "additional_capabilities", 5, "[terminal]"),
        ifd_serial=_string(top, "ifd_serial", 8),
        terminal_id=_string(top, "terminal_id", 8),
        merchant_id=_string(top, "merchant_id", 15),
        merchant_name=_string(top, "merchant_name", 40),
        merchant_category=_digits(top, "merchant_category", 4, "[terminal]"),
        category_code=category_code.decode("ascii", "replace"),
        applications=applications,
        extra=_extra(top.get("extra", {})),
        ca_keys=_ring(tables),
        list_of_aids=bool(top.get("list_of_aids", False)),
    )


def _check_keys(tables: Mapping[str, Any]) -> None:
    """TerminalError for a key that no table has there, which is a typo, or a value of its kind."""
    _check_table(tables, "terminal file", _TOP_KEYS)
    _check_table(tables["terminal"], "[terminal]", _TERMINAL_KEYS)
    for name, keys in _LISTS.items():
        entries = tables.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise TerminalError("terminal file", name, f"expected [[{name}]] tables")
        for n, table in enumerate(entries, 1):
            _check_table(table, f"[[{name}]] #{n}", keys)
    for n, table in enumerate(tables.get("application", []), 1):
        limits = table.get("limits", [])
        if not isinstance(limits, list) or not all(isinstance(each, dict) for each in limits):
            raise TerminalError(f"[[application]] #{n}", "limits", "expected a list of tables")
        for each in limits:
            _check_table(each, f"[[application]] #{n} limits", _LIMIT_KEYS)


def _check_table(table: Mapping[str, Any], place: str, known: frozenset[str]) -> None:
    for key, value in table.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise TerminalError(place, key, f"no such key here; {hint}")
        if key in _FLAGS and not isinstance(value, bool):
            raise TerminalError(place, key, f"expected true or false, got {value!r}")


_FLAGS: Final = frozenset({"partial_match", "zero_amount_allowed", "status_check", "list_of_aids"})
_TOP_KEYS: Final = frozenset(
    {"name", "terminal", "limits", "application", "ca_key", "revoked", "transaction"}
)
_TERMINAL_KEYS: Final = frozenset(
    {"country", "currency", "type", "capabilities", "capabilities_cvm_required"}
    | {"capabilities_no_cvm", "additional_capabilities", "ifd_serial", "terminal_id"}
    | {"merchant_id", "merchant_name", "merchant_category", "category_code", "extra"}
    | {"list_of_aids"}
)
_LIMIT_KEYS: Final = frozenset({"currency", "from", "contactless", "cvm_required", "floor"})
_LISTS: Final = {
    "limits": _LIMIT_KEYS,
    "application": frozenset(
        {"name", "kernel", "aids", "partial_match", "zero_amount_allowed", "status_check"}
        | {"version", "ttq", "tac_denial", "tac_online", "tac_default", "risk_management"}
        | {"limits"}
    ),
    "ca_key": frozenset({"rid", "index", "modulus", "exponent", "expires"}),
    "revoked": frozenset({"rid", "index", "serial"}),
}


def _application(
    table: Mapping[str, Any], place: str, currency: str, shared: list[Limits]
) -> Application:
    try:
        kernel = Kernel(table.get("kernel", ""))
    except ValueError:
        raise TerminalError(place, "kernel", f"expected one of {', '.join(Kernel)}") from None
    aids = table.get("aids")
    if not isinstance(aids, list) or not aids:
        raise TerminalError(place, "aids", "expected a list of hex strings")
    own = [
        _limits(limits, currency, f"{place} limits #{n}")
        for n, limits in enumerate(table.get("limits", []), 1)
    ]
    optional = {
        name: _bytes(table, name, length, place)
        for name, length in _HEX_FIELDS.items()
        if name in table
    }
    return Application(
        name=str(table.get("name", kernel.value)),
        kernel=kernel,
        aids=tuple(_aid(aid, place) for aid in aids),
        partial_match=bool(table.get("partial_match", True)),
        zero_amount_allowed=bool(table.get("zero_amount_allowed", False)),
        relay_resistance_bits=bool(table.get("relay_resistance_bits", True)),
        status_check=bool(table.get("status_check", False)),
        limits=(*own, *shared),
        **optional,
    )


_HEX_FIELDS: Final = {
    "version": 2,
    "ttq": 4,
    "tac_denial": 5,
    "tac_online": 5,
    "tac_default": 5,
    "risk_management": 8,
}


def _limits(table: Mapping[str, Any], currency: str, place: str) -> Limits:
    since = table.get("from")
    if not isinstance(since, date):
        raise TerminalError(place, "from", "expected a date, such as 2018-06-01")
    amounts: dict[str, int] = {}
    for name in ("contactless", "cvm_required", "floor"):
        value = table.get(name)
        if value is None and name == "contactless":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise TerminalError(place, name, "expected minor units as a whole number")
        amounts[name] = value
    return Limits(
        currency=_digits(table, "currency", 3, place) if "currency" in table else currency,
        since=since,
        contactless=amounts.get("contactless"),
        cvm_required=amounts["cvm_required"],
        floor=amounts["floor"],
    )


def _ring(tables: Mapping[str, Any]) -> CaKeyRing:
    try:
        keys = [
            read_ca_key(table, f"[[ca_key]] #{n}")
            for n, table in enumerate(tables.get("ca_key", []), 1)
        ]
        revoked = [
            Revocation(
                rid=hex_field(table, "rid", "[[revoked]]"),
                index=hex_field(table, "index", "[[revoked]]")[0],
                serial=hex_field(table, "serial", "[[revoked]]"),
            )
            for table in tables.get("revoked", [])
        ]
    except CaKeyError as error:
        raise TerminalError(error.entry, error.field, str(error)) from None
    return CaKeyRing.of(keys, revoked)


def _extra(table: Mapping[str, Any]) -> dict[int, bytes]:
    try:
        return {int(tag, 16): bytes.fromhex(value) for tag, value in table.items()}
    except (AttributeError, TypeError, ValueError):
        raise TerminalError(
            "[terminal.extra]", "tags", 'expected lines such as 9F7A = "01"'
        ) from None


def _aid(value: object, place: str) -> bytes:
    try:
        aid = bytes.fromhex(str(value))
    except ValueError:
        raise TerminalError(place, "aids", f"expected hex, got {value!r}") from None
    if not 5 <= len(aid) <= 16:
        raise TerminalError(place, "aids", f"expected 5 to 16 bytes, got {len(aid)}")
    return aid


def _bytes(table: Mapping[str, Any], field: str, length: int, place: str) -> bytes:
    try:
        value = bytes.fromhex(table[field])
    except (KeyError, TypeError, ValueError):
        raise TerminalError(place, field, f"expected {length} bytes in hex") from None
    if len(value) != length:
        raise TerminalError(place, field, f"expected {length} bytes in hex, got {len(value)}")
    return value


def _digits(table: Mapping[str, Any], field: str, length: int, place: str) -> str:
    value = table.get(field)
    if not isinstance(value, str) or len(value) != length or not value.isdigit():
        raise TerminalError(place, field, f"expected {length} digits as a string")
    return value


def _string(table: Mapping[str, Any], field: str, length: int) -> str:
    value = table.get(field)
    if not isinstance(value, str) or len(value) > length:
        raise TerminalError("[terminal]", field, f"expected at most {length} characters")
    return value


def format_terminal(terminal: TerminalData, transaction: Transaction) -> str:
    """Terminal data without CA keys, and transaction, as the TOML that `parse_pinned` reads."""
    lines = [f"name = {_quote(terminal.name)}", "[terminal]"]
    lines += [f"list_of_aids = {str(terminal.list_of_aids).lower()}"]
    lines += [
        f"{name} = {_quote(value)}"
        for name, value in (
            ("country", terminal.country),
            ("currency", terminal.currency),
            ("type", terminal.terminal_type.hex()),
            ("capabilities", terminal.capabilities.hex()),
            ("capabilities_cvm_required", f"{terminal.capabilities_cvm_required:02x}"),
            ("capabilities_no_cvm", f"{terminal.capabilities_no_cvm:02x}"),
            ("additional_capabilities", terminal.additional_capabilities.hex()),
            ("ifd_serial", terminal.ifd_serial),
            ("terminal_id", terminal.terminal_id),
            ("merchant_id", terminal.merchant_id),
            ("merchant_name", terminal.merchant_name),
            ("merchant_category", terminal.merchant_category),
            ("category_code", terminal.category_code.encode("ascii", "replace").hex()),
        )
    ]
    if terminal.extra:
        lines.append("[terminal.extra]")
        lines += [f'{tag:X} = "{value.hex().upper()}"' for tag, value in terminal.extra.items()]
    for application in terminal.applications:
        lines += _application_lines(application, transaction)
    lines.append("[transaction]")
    lines += _transaction_lines(transaction)
    return "\n".join(lines) + "\n"


def _application_lines(application: Application, transaction: Transaction) -> list[str]:
    aids = ", ".join(f'"{aid.hex().upper()}"' for aid in application.aids)
    lines = [
        "[[application]]",
        f"name = {_quote(application.name)}",
        f'kernel = "{application.kernel}"',
        f"aids = [{aids}]",
        f"partial_match = {str(application.partial_match).lower()}",
        f"zero_amount_allowed = {str(application.zero_amount_allowed).lower()}",
        f"status_check = {str(application.status_check).lower()}",
    ]
    for name in _HEX_FIELDS:
        value = getattr(application, name)
        if value is not None:
            lines.append(f'{name} = "{value.hex().upper()}"')
    limits = application.limits_on(transaction.day, transaction.currency)
    lines += ["[[application.limits]]", f'currency = "{limits.currency}"', f"from = {limits.since}"]
    if limits.contactless is not None:
        lines.append(f"contactless = {limits.contactless}")
    return [*lines, f"cvm_required = {limits.cvm_required}", f"floor = {limits.floor}"]


def _transaction_lines(transaction: Transaction) -> list[str]:
    lines = [
        f"amount_minor = {transaction.amount_minor}",
        f"other_minor = {transaction.other_minor}",
        f'currency = "{transaction.currency}"',
        f"exponent = {transaction.exponent}",
        f"kind = {transaction.kind}",
        f"day = {transaction.day.isoformat()}",
        f"hour = {transaction.hour.replace(microsecond=0, tzinfo=None).isoformat()}",
        f"sequence = {transaction.sequence}",
    ]
    if transaction.unpredictable_number is not None:
        number = transaction.unpredictable_number.hex().upper()
        lines.append(f'unpredictable_number = "{number}"')
    return lines


def _quote(text: str) -> str:
    return json.dumps(text)


def parse_pinned(text: str) -> tuple[TerminalData, Transaction]:
    """Read the TOML of `format_terminal`. Raises TerminalError or TransactionError."""
    terminal = parse_terminal(text)
    table = tomllib.loads(text).get("transaction")
    if not isinstance(table, dict):
        raise TerminalError("pinned terminal", "[transaction]", "expected this table")
    fields = dict(table)
    try:
        number = fields.pop("unpredictable_number", None)
        transaction = Transaction(
            unpredictable_number=bytes.fromhex(number) if number is not None else None, **fields
        )
    except (TypeError, ValueError):
        raise TerminalError("pinned terminal", "[transaction]", "expected its fields") from None
    return terminal, transaction
