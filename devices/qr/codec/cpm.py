"""EMV consumer-presented codes: read any payload, and build one that keeps every rule.

The payer's phone shows BER-TLV in base64: first 85 (`CPV01`), then one or two application
templates (61), then the common template (62), then any further templates. The card number is in 61
or in 62. Transparent data (63 in 61, 64 in 62) is for the issuer alone and may have any form. The
payment is always authorised online.

Source: EMVCo, QR Code Specification for Payment Systems: Consumer-Presented Mode 1.0.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from devices.qr.codec.ber_tlv import BerFault, BerObject, decode, encode, walk
from devices.qr.codec.iso_codes import LANGUAGES
from devices.qr.codec.verdict import BrokenRule, CodecError, Verdict, verdict_on

__all__ = [
    "Application",
    "BerObject",
    "BrokenRule",
    "CodecError",
    "ConsumerPresented",
    "CpmReading",
    "Verdict",
    "build",
    "parse",
]

#: The first characters of every payload: tag 85, its length and the start of `CPV01` in base64.
PREFIX = "hQVDUFY"
#: Most characters that every reader must support.
LARGEST_PAYLOAD = 512

_FORMAT = b"CPV01"
_TEXT = frozenset({"50", "5F20", "5F2D", "5F50", "85"})
_TRANSPARENT = frozenset({"63", "64"})
_MOST_APPLICATIONS = 2
# Order of the objects at the top level; further templates come last (section 3.1.1.1).
_ORDER = {"85": 0, "61": 1, "62": 2}
_FURTHER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """Form of one data object: fewest and most bytes, the pattern of its text or of its hex."""

    fewest: int
    most: int
    pattern: re.Pattern[str] = re.compile(".*", re.DOTALL)
    expected: str = ""


_PRINTABLE = re.compile("[ -~]*")
# Data objects of the templates (table 6.2, table A.1; EMV Book 3, data elements).
_FORMS = {
    "4F": _Form(fewest=5, most=16),
    "50": _Form(
        fewest=1,
        most=16,
        pattern=re.compile("[A-Za-z0-9 ]*"),
        expected="letters, digits and spaces",
    ),
    "57": _Form(
        fewest=1,
        most=19,
        pattern=re.compile("[0-9]{1,19}D[0-9]{4}[0-9]{3}[0-9]*F?"),
        expected="number, D, expiry, service code, then digits and at most one F",
    ),
    "5A": _Form(
        fewest=1,
        most=10,
        pattern=re.compile("[0-9]{1,19}F?"),
        expected="digits, then at most one F",
    ),
    "5F20": _Form(fewest=2, most=26, pattern=_PRINTABLE, expected="printable ASCII characters"),
    "5F2D": _Form(
        fewest=2,
        most=8,
        pattern=re.compile(f"(?:{'|'.join(sorted(LANGUAGES))}){{1,4}}", re.IGNORECASE),
        expected="pairs of letters from ISO 639-1",
    ),
    "5F50": _Form(fewest=1, most=255, pattern=_PRINTABLE, expected="printable ASCII characters"),
    "9F08": _Form(fewest=2, most=2),
    "9F19": _Form(fewest=6, most=6, pattern=re.compile("0[0-9]{11}"), expected="eleven digits"),
    "9F24": _Form(
        fewest=29,
        most=29,
        pattern=re.compile("[0-9A-Z]*"),
        expected="digits and capital letters",
    ),
    "9F25": _Form(fewest=2, most=2, pattern=re.compile("[0-9]*"), expected="four digits"),
}
#: Objects whose form is that of their text; of all others it is that of their hex digits.
_TEXT_FORMS = _TEXT | {"9F24"}

Value = str | list["Value"] | dict[str, "Value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application template (61).

    `aid` is 4F, `label` 50, `track2` the bytes of 57, `pan` the digits of 5A; `transparent` are the
    objects of template 63, `further` any others.
    """

    aid: bytes
    label: str | None = None
    track2: bytes | None = None
    pan: str | None = None
    further: tuple[BerObject, ...] = ()
    transparent: tuple[BerObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerPresented:
    """The content of a payload: applications in order of preference, and the common template (62).

    `pan`, `further` and `transparent` are 5A, other objects and template 64 of the common template.
    """

    applications: tuple[Application, ...]
    pan: str | None = None
    further: tuple[BerObject, ...] = ()
    transparent: tuple[BerObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CpmReading:
    """The values in a payload and the rules that it breaks.

    `fields` maps each tag to its value (text where the object is text, digits for 5A, else hex) and
    a template's tag to the objects in it; several templates 61 are a list. A template 61 without a
    usable AID is among them, though a reader skips it.
    """

    text: str
    verdict: Verdict
    broken: tuple[BrokenRule, ...]
    fields: dict[str, Value] = field(default_factory=dict)
    objects: tuple[BerObject, ...] = ()

    @property
    def issues(self) -> tuple[str, ...]:
        """What is wrong, one line for each broken rule."""
        return tuple(each.text for each in self.broken)

    def accepted(self, *, lenient: bool = False) -> bool:
        """Whether a strict reader, or a lenient one, accepts this payload."""
        return self.verdict is Verdict.STRICT or (lenient and self.verdict is Verdict.NONCONFORMING)

    def find(self, tag: str) -> bytes | None:
        """The bytes of the first primitive with `tag`; None if there is none.

        Templates that a reader skips are left out; transparent data comes last.
        """
        used = [each for each in self.objects if each.tag != "61" or _is_usable(each)]
        for found in (walk(used, closed=_TRANSPARENT), walk(used)):
            for each in found:
                if each.tag == tag:
                    return each.content
        return None


def parse(text: str) -> CpmReading:
    """Read `text` as a consumer-presented payload; raises nothing, whatever the text."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
        objects = decode(content, opaque=_TRANSPARENT)
    except BerFault as fault:
        rule = _fatal(fault.field, fault.position, f"TLV: {fault}")
        return CpmReading(text=text, verdict=Verdict.INVALID, broken=(rule,))
    except (UnicodeEncodeError, binascii.Error):
        rule = _fatal("payload", 0, "payload is not base64")
        return CpmReading(text=text, verdict=Verdict.INVALID, broken=(rule,))
    broken = (*_fatal_rules(objects), *_lenient_rules(text, objects))
    return CpmReading(
        text=text,
        verdict=verdict_on(broken),
        broken=broken,
        fields=_fields(objects),
        objects=objects,
    )


def build(presented: ConsumerPresented) -> str:
    """The payload of `presented` in base64; CodecError where a value breaks a rule."""
    objects = [BerObject("85", _FORMAT)]
    objects += [BerObject("61", _application(each)) for each in presented.applications]
    common = _numbers(None, presented.pan) + presented.further
    if presented.transparent:
        common += (BerObject("64", presented.transparent),)
    if common:
        objects.append(BerObject("62", common))
    try:
        content = encode(objects)
    except ValueError:
        raise CodecError("tag", None, "expected a tag in hexadecimal") from None
    reading = parse(base64.b64encode(content).decode("ascii"))
    if reading.broken:
        raise reading.broken[0].as_error()
    return reading.text


def _application(each: Application) -> tuple[BerObject, ...]:
    label: tuple[BerObject, ...] = ()
    if each.label is not None:
        if not each.label.isascii():
            raise CodecError("61/50", None, f"expected ASCII text, got {each.label!r}")
        label = (BerObject("50", each.label.encode("ascii")),)
    transparent = (BerObject("63", each.transparent),) if each.transparent else ()
    numbers = _numbers(each.track2, each.pan)
    return (BerObject("4F", each.aid), *label, *numbers, *each.further, *transparent)


def _numbers(track2: bytes | None, pan: str | None) -> tuple[BerObject, ...]:
    found: tuple[BerObject, ...] = () if track2 is None else (BerObject("57", track2),)
    if pan is not None:
        if not (pan.isascii() and pan.isdigit() and 8 <= len(pan) <= 19):
            raise CodecError("5A", None, "expected 8 to 19 digits")
        found += (BerObject("5A", bytes.fromhex(pan + "F" * (len(pan) % 2))),)
    return found


def _fatal(field: str, position: int, text: str) -> BrokenRule:
    return BrokenRule(field=field, position=position, text=text, fatal=True)


def _is_usable(application: BerObject) -> bool:
    """Whether a template 61 has an AID (4F); a reader skips one that has not (section 5.1.4)."""
    form = _FORMS["4F"]
    return any(
        inner.tag == "4F" and form.fewest <= len(inner.content) <= form.most
        for inner in application.objects
    )


def _fatal_rules(objects: tuple[BerObject, ...]) -> Iterator[BrokenRule]:
    """Broken rules for which every reader refuses the payload."""
    if not objects or objects[0].tag != "85" or objects[0].content != _FORMAT:
        yield _fatal("85", 0, "85 is not the first object with value CPV01")
    applications = [each for each in objects if each.tag == "61"]
    common = [each for each in objects if each.tag == "62"]
    usable = [each for each in applications if _is_usable(each)]
    if not applications:
        yield _fatal("61", 0, "no application template 61")
    elif not usable:
        yield _fatal("61/4F", applications[0].position, "no template 61 has a usable AID (4F)")
    if len(common) > 1:
        yield _fatal("62", common[1].position, "duplicate template 62")
    tags = {inner.tag for each in usable + common for inner in each.objects}
    if usable and not tags & {"57", "5A"}:
        yield _fatal("57", usable[0].position, "neither 57 nor 5A in 61 or 62")
    yield from _duplicates(usable, common)


def _duplicates(applications: list[BerObject], common: list[BerObject]) -> Iterator[BrokenRule]:
    """Objects twice in one template, or both in 61 and in 62; not in transparent data (5.1.10)."""
    for template in (*applications, *common):
        counted = Counter(inner.tag for inner in template.objects)
        for tag in (tag for tag, times in counted.items() if times > 1):
            finding = f"duplicate tag {tag} in {template.tag}"
            yield _fatal(f"{template.tag}/{tag}", template.position, finding)
    in_applications = {each.tag for each in walk(applications, closed=_TRANSPARENT)}
    in_common = walk(common, closed=_TRANSPARENT)
    shared = {each.tag: each for each in in_common if each.tag in in_applications}
    for tag, inner in shared.items():
        finding = f"same data object in 61 and 62 ({tag})"
        yield _fatal(f"62/{tag}", inner.position, finding)


def _lenient_rules(text: str, objects: tuple[BerObject, ...]) -> Iterator[BrokenRule]:
    """Broken rules that a lenient reader accepts."""
    if len(text) > LARGEST_PAYLOAD:
        finding = f"payload length {len(text)} not in 1..{LARGEST_PAYLOAD}"
        yield BrokenRule(field="payload", position=LARGEST_PAYLOAD, text=finding)
    yield from _root_rules(objects)
    for each in objects:
        if each.tag == "61" and not _is_usable(each):
            if all(inner.tag != "4F" for inner in each.objects):
                finding = "template 61 has no AID (4F)"
                yield BrokenRule(field="61/4F", position=each.position, text=finding)
        elif each.tag not in ("61", "62"):
            continue
        own, other = {"61": ("63", "64"), "62": ("64", "63")}[each.tag]
        for inner in each.objects:
            if inner.tag == other:
                finding = f"template {other} in {each.tag}, expected {own}"
                path = f"{each.tag}/{inner.tag}"
                yield BrokenRule(field=path, position=inner.position, text=finding)
        for inner in walk(each.objects, closed=_TRANSPARENT):
            finding = _wrong_form(inner)
            if finding:
                path = f"{each.tag}/{inner.tag}"
                yield BrokenRule(field=path, position=inner.position, text=finding)


def _root_rules(objects: tuple[BerObject, ...]) -> Iterator[BrokenRule]:
    """Number, order and kinds of the objects at the top level (table 3.1)."""
    applications = [each for each in objects if each.tag == "61"]
    if len(applications) > _MOST_APPLICATIONS:
        third = applications[_MOST_APPLICATIONS].position
        finding = f"{len(applications)} templates 61, at most {_MOST_APPLICATIONS}"
        yield BrokenRule(field="61", position=third, text=finding)
    latest, latest_tag = 0, ""
    for number, each in enumerate(objects):
        is_template = bytes.fromhex(each.tag)[0] & 0x20
        finding = ""
        if each.tag in _TRANSPARENT or (not is_template and (number or each.tag != "85")):
            finding = f"tag {each.tag} outside a template"
        elif _ORDER.get(each.tag, _FURTHER) < latest:
            finding = f"template {each.tag} after {latest_tag}, expected before it"
        else:
            latest, latest_tag = _ORDER.get(each.tag, _FURTHER), each.tag
        if finding:
            yield BrokenRule(field=each.tag, position=each.position, text=finding)


def _wrong_form(primitive: BerObject) -> str:
    """What is wrong with the length or the characters of `primitive`; empty where nothing is."""
    tag, content = primitive.tag, primitive.content
    form = _FORMS.get(tag)
    if form is None:
        return ""
    if not form.fewest <= len(content) <= form.most:
        return f"{tag} length {len(content)} not in {form.fewest}..{form.most}"
    text = content.decode("latin-1") if tag in _TEXT_FORMS else content.hex().upper()
    return "" if form.pattern.fullmatch(text) else f"{tag} format: expected {form.expected}"


def _fields(objects: tuple[BerObject, ...]) -> dict[str, Value]:
    """Each tag with its value, or with a list of values where the tag is repeated."""
    values: dict[str, list[Value]] = {}
    for each in objects:
        values.setdefault(each.tag, []).append(_value(each))
    return {tag: found[0] if len(found) == 1 else found for tag, found in values.items()}


def _value(each: BerObject) -> Value:
    if isinstance(each.value, tuple):
        return _fields(each.value)
    content = each.value
    if each.tag in _TEXT and all(0x20 <= byte < 0x7F for byte in content):
        return content.decode("ascii")
    text = content.hex().upper()
    return text.rstrip("F") if each.tag == "5A" else text
