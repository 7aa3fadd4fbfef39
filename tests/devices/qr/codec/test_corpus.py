"""Payloads of many countries' schemes are judged as the standard's clauses judge them.

The project's own corpus is `tests/vectors/qr`; a shared one beside the checkout is read too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devices.qr.codec import cpm, mpm

_ROOT = Path(__file__).resolve().parents[4]
_OWN = _ROOT / "tests" / "vectors" / "qr"
_SHARED = _ROOT.parent / "shared" / "vectors" / "qr" / "corpus.json"


def cases(mode: str) -> list[Any]:
    """Every case of `mpm` or `cpm` as a parameter of a test, named by its scheme."""
    own = json.loads((_OWN / f"{mode}.json").read_text("utf-8"))
    shared = json.loads(_SHARED.read_text("utf-8"))[mode] if _SHARED.exists() else []
    shared = [each | {"shared": True} for each in shared]
    return [pytest.param(each, id=each["scheme"]) for each in own + shared]


@pytest.mark.parametrize("case", cases("mpm"))
def test_merchant_presented_payload_is_judged_by_the_standard(case: dict[str, Any]) -> None:
    reading = mpm.parse(case["payload"])
    assert reading.verdict == case["verdict"]
    if "shared" in case:  # it names the first broken rules of a payload, not all
        assert set(case["issues"]) <= set(reading.issues)
    else:
        assert list(reading.issues) == case["issues"]
    assert bool(reading.issues) == bool(case["issues"])
    assert reading.fields == case.get("decoded", reading.fields)
    for path, value in case.get("values", {}).items():
        assert reading.value(path) == value


@pytest.mark.parametrize("case", cases("cpm"))
def test_consumer_presented_payload_is_judged_by_the_standard(case: dict[str, Any]) -> None:
    reading = cpm.parse(case["payload"])
    values = dict(case.get("values") or case.get("expect", {}))
    if "verdict" in case:
        assert reading.verdict == case["verdict"]
        assert list(reading.issues) == case["issues"]
    else:  # the shared corpus says valid or not, and one issue
        assert (reading.verdict == "strict") == case["valid"]
        if "error" in values:
            assert values.pop("error") in reading.issues
    for path, value in values.items():
        assert _at(reading.fields, path) == value


def test_corpus_has_its_sources_and_covers_twelve_countries() -> None:
    merchant = json.loads((_OWN / "mpm.json").read_text("utf-8"))
    consumer = json.loads((_OWN / "cpm.json").read_text("utf-8"))
    assert len({each["payload"] for each in merchant}) >= 40
    assert len({each["country"] for each in merchant}) >= 12
    assert all(each["source"] for each in merchant + consumer)
    assert all(bool(each["issues"]) == bool(each["clauses"]) for each in merchant + consumer)


def _at(fields: Any, path: str) -> Any:
    for step in path.split("/"):
        tag, _, number = step.partition("[")
        fields = fields[tag]
        if number:
            fields = fields[int(number.rstrip("]"))]
    return fields
