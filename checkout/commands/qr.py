"""`checkout qr make` and `checkout qr read`: write a code, read one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from checkout.acceptance.qr import signed_payload
from checkout.acceptance.qr.code_kinds import Reading, best
from checkout.acceptance.qr.link import build_link
from checkout.commands.common import CommandError, console, print_json
from checkout.commands.serve import phone_url, running_phone_url
from checkout.config import DEFAULT_PORT, Config, Merchant
from checkout.demo.payers import DemoPayers
from checkout.money import AmountError, Money
from checkout.shop.shop import Shop
from devices.qr import scanner
from devices.qr.codec.mpm_objects import ADDITIONAL_RULES, LANGUAGE_RULES, ROOT_RULES
from devices.qr.scanner import NotAnImage, ScanError
from devices.qr.symbol import rendering, sticker_sheet
from devices.qr.symbol.sticker_sheet import FontError, Sticker

#: Exit status of `qr read`.
DONE, REFUSED = 0, 3

_WRITTEN = (".png", ".svg")
_PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".ppm", ".svg", ".heic", ".tif", ".tiff"}
)
_LONGEST_TEXT_FILE = 16_384
_TEMPLATE_NAMES = {"62": "additional data", "64": "merchant in another language"}


class CodeFileError(ValueError):
    """A file that no code can be written to or read from; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCode:
    """A code in a file: its `text`, the file, and the modules along one side."""

    text: str
    path: Path
    modules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCode:
    """The code that was read, the texts of `others` in the picture, the exit status."""

    reading: Reading
    others: tuple[str, ...]
    status: int

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {**self.reading.as_json(), "others": list(self.others)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeOptions:
    """What the command line gives to `checkout qr make`."""

    amount: str | None
    currency: str
    format: Literal["link", "emv"]
    static: bool
    label: str
    out: Path
    database: str
    public_url: str | None
    port: int | None
    https: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the command line gives to `checkout qr read`."""

    source: str
    lenient: bool
    json: bool


def run(options: MakeOptions | ReadOptions) -> int:
    """Write a code or read one; returns the exit status."""
    return _make(options) if isinstance(options, MakeOptions) else _read(options)


def _config(options: MakeOptions) -> Config:
    """The settings of the shop that the code leads to: the running one, unless options name it."""
    config = Config(
        database=options.database,
        public_url=options.public_url or None,
        port=DEFAULT_PORT if options.port is None else options.port,
        https=options.https,
    )
    if options.public_url or options.port is not None:
        return config
    running = running_phone_url(config.home)
    return config if running is None else replace(config, public_url=running)


def text_of_code(
    *,
    form: str,
    code: str,
    merchant: Merchant,
    base_url: str,
    key: bytes,
    amount: Money | None = None,
    currency: str = "CNY",
    reference: str | None = None,
    static: bool = False,
) -> str:
    """The text for the code of an order or of a sticker; `form` is `link` or `emv`.

    A sticker's code may have a fixed amount; a code without an amount is a sticker's. `key` is the
    shop's secret for EMV payloads. LinkError, CodecError where a value does not fit.
    """
    if form == "link":
        return build_link(base_url, code)
    if static or amount is None:
        return signed_payload.static_payload(
            merchant=merchant,
            code=code,
            currency=currency,
            key=key,
            amount=amount,
            label=reference,
        )
    return signed_payload.dynamic_payload(
        merchant=merchant, code=code, amount=amount, key=key, reference=reference
    )


def check_output(out: Path, *, static: bool = False) -> None:
    """CodeFileError where no code can be written to a file with the ending of `out`."""
    endings = (*_WRITTEN, ".pdf") if static else _WRITTEN
    if out.suffix.lower() not in endings:
        raise CodeFileError(f"out: expected a name that ends in {' or '.join(endings)}, got {out}")


def write(text: str, out: Path, *, module_pixels: int = 10) -> WrittenCode:
    """Write `text` as a QR code to a .png or .svg file; OSError where that fails."""
    check_output(out)
    if out.suffix.lower() == ".svg":
        content = rendering.svg(text, module_pixels=module_pixels).encode()
    else:
        content = rendering.png(text, module_pixels=module_pixels)
    out.write_bytes(content)
    return WrittenCode(text=text, path=out, modules=len(rendering.modules(text)))


def write_sticker(sticker: Sticker, out: Path, *, made_at: datetime) -> WrittenCode:
    """Write a sticker to a .png or .svg file, or a sheet of six to a .pdf file.

    FontError where no font of this machine has its words; OSError where the file cannot be written.
    """
    check_output(out, static=True)
    suffix = out.suffix.lower()
    if suffix == ".pdf":
        out.write_bytes(sticker_sheet.sheet([sticker] * 6, made_at=made_at))
    elif suffix == ".svg":
        out.write_text(sticker_sheet.svg(sticker), encoding="utf-8")
    else:
        out.write_bytes(sticker_sheet.png(sticker))
    return WrittenCode(text=sticker.text, path=out, modules=len(rendering.modules(sticker.text)))


def read(source: str, *, lenient: bool = False) -> ReadCode:
    """Read a code from the picture or text file named `source`, or from `source` itself.

    CodeFileError where the file is missing, ScanError where it is neither a picture nor a text, or
    a picture without a code; the message names the file.
    """
    path = _file(source)
    texts = (source,) if path is None else _texts(path)
    reading = best(texts)
    status = DONE if reading.accepted(lenient=lenient) else REFUSED
    others = tuple(text for text in dict.fromkeys(texts) if text != reading.text)
    return ReadCode(reading=reading, others=others, status=status)


def describe(found: ReadCode) -> Iterator[str]:
    """The result of `qr read` for people, line by line."""
    reading = found.reading
    yield f"{reading.kind}: {reading.verdict}"
    for issue, place in zip(reading.issues, reading.places, strict=True):
        yield f"  broken at {place}: {issue}"
    yield from _fields(reading.fields, "")
    if reading.kind == "other":
        yield f"  text  {reading.text[:200]}"
    for text in found.others:
        yield f"also in the picture: {text[:200]}"


def _make(options: MakeOptions) -> int:
    if not options.static and options.amount is None:
        raise AmountError("amount", "expected one, such as --amount 12.80, or --static")
    amount = None if options.amount is None else Money.parse(options.amount, options.currency)
    check_output(options.out, static=options.static)
    config = _config(options)
    shop = Shop.open(config, payers=DemoPayers())
    try:
        if amount is None or options.static:
            made = _sticker(shop, options, amount)
        else:
            made = _order_code(shop, options, amount)
    except OSError as error:
        raise CommandError(f"out: cannot write {options.out} ({error.strerror})") from None
    finally:
        shop.close()
    out = console()
    out.print(f"{made.path}: {made.modules} modules a side", markup=False)
    out.print(made.text, markup=False)
    if not options.static:
        out.print(
            f"Payable for {config.code_ttl_s} s while `checkout serve` runs on this database."
        )
    if config.public_url is None and options.port is None:
        sys.stderr.write(
            f"checkout qr make: no shop is running in {config.home}; the code leads to "
            f"{phone_url(config)} (name another with --port or --public-url)\n"
        )
    return 0


def _order_code(shop: Shop, options: MakeOptions, amount: Money) -> WrittenCode:
    order = shop.orders.create(amount_minor=amount.amount_minor, currency=amount.currency)
    if options.format == "emv":
        text = shop.emv_payload(order)
    else:
        text = build_link(phone_url(shop.config), order.code)
    try:
        return write(text, options.out)
    except OSError:
        shop.orders.cancel(order.id)  # its code is in no file
        raise


def _sticker(shop: Shop, options: MakeOptions, amount: Money | None) -> WrittenCode:
    merchant = shop.config.merchant
    fixed = None if amount is None else amount.amount_minor
    code = shop.static_codes.create(options.label, options.currency, amount_minor=fixed)
    text = text_of_code(
        form=options.format,
        code=code.code,
        merchant=merchant,
        base_url=phone_url(shop.config),
        key=shop.code_key,
        amount=amount,
        currency=options.currency,
        reference=code.label,
        static=True,
    )
    sticker = Sticker(text=text, payee=merchant.name, number=code.printed)
    try:
        return write_sticker(sticker, options.out, made_at=datetime.now(UTC))
    except (OSError, FontError):
        shop.static_codes.revoke(code.code)  # it is in no file
        raise


def _read(options: ReadOptions) -> int:
    found = read(options.source, lenient=options.lenient)
    if options.json:
        print_json(found.as_json())
    else:
        out = console()
        for line in describe(found):
            out.print(line, markup=False)
    return found.status


def _file(source: str) -> Path | None:
    """The file that `source` names; None where `source` is the text of a code."""
    try:
        path = Path(source)
        if path.is_file():
            return path
        if path.is_dir() and source.strip("./ "):
            raise CodeFileError(f"source: {source} is a folder, expected a file or a text")
    except (OSError, UnicodeError):  # too long for a name: a text
        return None
    except ValueError as error:
        if isinstance(error, CodeFileError):
            raise
        return None  # it has a NUL: a text
    if path.suffix.lower() in _PICTURES and "://" not in source and "\n" not in source:
        raise CodeFileError(f"no such file: {source}")
    return None


def _texts(path: Path) -> tuple[str, ...]:
    try:
        return tuple(scan.text for scan in scanner.read(path))
    except NotAnImage as error:
        text = _text_in(path)
        if text is None:
            raise _unreadable(path, str(error)) from None
        return (text,)
    except ScanError as error:
        raise type(error)(f"{path}: {error}") from None


def _unreadable(path: Path, why: str) -> NotAnImage:
    if not path.stat().st_size:
        return NotAnImage(f"{path}: the file is empty, expected a picture or a text")
    if path.suffix.lower() not in _PICTURES:
        why += f", or a text of at most {_LONGEST_TEXT_FILE} bytes"
    return NotAnImage(f"{path}: {why}")


def _text_in(path: Path) -> str | None:
    """The text in a small text file; None for any other file.

    The byte order mark and the last newline, which editors add, are left out.
    """
    if path.suffix.lower() in _PICTURES or not 0 < path.stat().st_size <= _LONGEST_TEXT_FILE:
        return None
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    text = text.removesuffix("\n").removesuffix("\r")
    return text if text and "\0" not in text else None


def _fields(fields: dict[str, Any], indent: str, template: str = "") -> Iterator[str]:
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield f"  {indent}{name}  {_TEMPLATE_NAMES.get(name, '')}".rstrip()
                yield from _fields(each, indent + "  ", name)
            else:
                meaning = _meaning(template, name)
                yield f"  {indent}{name}  {each}{f'  ({meaning})' if meaning else ''}"


def _meaning(template: str, name: str) -> str:
    rules = {"": ROOT_RULES, "62": ADDITIONAL_RULES, "64": LANGUAGE_RULES}.get(template, {})
    return rules[name].name if name in rules else ""
