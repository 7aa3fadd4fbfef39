"""EMV consumer-presented codes: read any payload, and build one that keeps every rule.

The payer's phone shows BER-TLV in base64: first 85 (`CPV01`), then one or more application
templates (61), then the common template (62). The card number is in 61 or in 62. The payment is
always authorised online.

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
from devices.qr.codec.verdict import BrokenRule, CodecError, Verdict

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
# Tag -> fewest and most bytes (EMV Book 3, data elements).
_SIZES = {
    "4F": (5, 16),
    "50": (1, 16),
    "57": (1, 19),
    "5A": (1, 10),
    "5F20": (2, 26),
    "5F2D": (2, 8),
    "9F08": (2, 2),
    "9F19": (6, 6),
    "9F24": (29, 29),
    "9F25": (2, 2),
}
_PAN = re.compile("[0-9]+f?")
_ROOT = frozenset({"85", "61", "62"})

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
    a template's tag to the objects in it; several templates 61 are a list.
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
        """The bytes of the first primitive with `tag`, in any template; None if there is none."""
        return next((each.content for each in walk(self.objects) if each.tag == tag), None)


def parse(text: str) -> CpmReading:
    """Read `text` as a consumer-presented payload; raises nothing, whatever the text."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
        objects = decode(content)
    except BerFault as fault:
        finding = BrokenRule(field=fault.field, position=fault.position, text=f"TLV: {fault}")
        return CpmReading(text=text, verdict=Verdict.INVALID, broken=(finding,))
    except (UnicodeEncodeError, binascii.Error):
        finding = BrokenRule(field="payload", position=0, text="payload is not base64")
        return CpmReading(text=text, verdict=Verdict.INVALID, broken=(finding,))
    fatal = tuple(_fatal_rules(objects))
    minor = tuple(_lenient_rules(text, objects))
    verdict = Verdict.INVALID if fatal else Verdict.NONCONFORMING if minor else Verdict.STRICT
    return CpmReading(
        text=text, verdict=verdict, broken=fatal + minor, fields=_fields(objects), objects=objects
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


def _fatal_rules(objects: tuple[BerObject, ...]) -> Iterator[BrokenRule]:
    """Broken rules for which every reader refuses the payload."""
    if not objects or objects[0].tag != "85" or objects[0].content != _FORMAT:
        finding = "85 is not the first object with value CPV01"
        yield BrokenRule(field="85", position=0, text=finding)
    applications = [each for each in objects if each.tag == "61"]
    common = [each for each in objects if each.tag == "62"]
    if not applications:
        yield BrokenRule(field="61", position=0, text="no application template 61")
    for each in applications:
        if all(inner.tag != "4F" for inner in each.objects):
            finding = "template 61 has no AID (4F)"
            yield BrokenRule(field="61/4F", position=each.position, text=finding)
    if len(common) > 1:
        yield BrokenRule(field="62", position=common[1].position, text="duplicate template 62")
    tags = {inner.tag for each in applications + common for inner in each.objects}
    if applications and not tags & {"57", "5A"}:
        finding = "neither 57 nor 5A in 61 or 62"
        yield BrokenRule(field="57", position=applications[0].position, text=finding)
    yield from _duplicates(applications, common)


def _duplicates(applications: list[BerObject], common: list[BerObject]) -> Iterator[BrokenRule]:
    """Objects twice in one template, or both in 61 and in 62."""
    for template in (*applications, *common):
        counted = Counter(inner.tag for inner in template.objects)
        for tag in (tag for tag, times in counted.items() if times > 1):
            finding = f"duplicate tag {tag} in {template.tag}"
            path = f"{template.tag}/{tag}"
            yield BrokenRule(field=path, position=template.position, text=finding)
    in_applications = {each.tag for each in walk(applications)}
    shared = {each.tag: each for each in walk(common) if each.tag in in_applications}
    for tag, inner in shared.items():
        finding = f"same data object in 61 and 62 ({tag})"
        yield BrokenRule(field=f"62/{tag}", position=inner.position, text=finding)


def _lenient_rules(text: str, objects: tuple[BerObject, ...]) -> Iterator[BrokenRule]:
    """Broken rules that a lenient reader accepts."""
    if len(text) > LARGEST_PAYLOAD:
        finding = f"payload length {len(text)} not in 1..{LARGEST_PAYLOAD}"
        yield BrokenRule(field="payload", position=LARGEST_PAYLOAD, text=finding)
    for number, each in enumerate(objects):
        if each.tag not in _ROOT or (each.tag == "85" and number):
            finding = f"tag {each.tag} outside a template"
            yield BrokenRule(field=each.tag, position=each.position, text=finding)
        own, other = {"61": ("63", "64"), "62": ("64", "63")}.get(each.tag, ("", ""))
        for inner in each.objects:
            if inner.tag == other:
                finding = f"template {other} in {each.tag}, expected {own}"
                path = f"{each.tag}/{inner.tag}"
                yield BrokenRule(field=path, position=inner.position, text=finding)
        for inner in walk(each.objects):
            finding = _wrong_form(inner)
            if finding:
                path = f"{each.tag}/{inner.tag}"
                yield BrokenRule(field=path, position=inner.position, text=finding)


def _wrong_form(primitive: BerObject) -> str:
    """What is wrong with the length or digits of `primitive`; empty where nothing is."""
    tag, content = primitive.tag, primitive.content
    fewest, most = _SIZES.get(tag, (0, 1 << 16))
    if not fewest <= len(content) <= most:
        return f"{tag} length {len(content)} not in {fewest}..{most}"
    if tag == "5A" and not _PAN.fullmatch(content.hex()):
        return "5A format: expected digits, then at most one F"
    return ""


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
