"""Payloads of many countries' schemes, kept beside the checkout: verdict, issues and fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checkout.commands import qr
from devices.qr.codec import cpm, mpm

CORPUS = Path(__file__).resolve().parents[4].parent / "shared" / "vectors" / "qr" / "corpus.json"
_ALL: dict[str, Any] = json.loads(CORPUS.read_text("utf-8")) if CORPUS.exists() else {}

pytestmark = pytest.mark.skipif(not _ALL, reason="no shared corpus beside the checkout")


@pytest.mark.parametrize("case", _ALL.get("mpm", []), ids=lambda case: str(case["scheme"]))
def test_merchant_presented_payload_is_judged_as_the_corpus_says(case: dict[str, Any]) -> None:
    reading = mpm.parse(case["payload"])
    assert reading.verdict == case["verdict"]
    assert list(reading.issues) == case["issues"]
    assert reading.fields == case["decoded"]


@pytest.mark.parametrize("case", _ALL.get("cpm", []), ids=lambda case: str(case["scheme"]))
def test_consumer_presented_payload_is_judged_as_the_corpus_says(case: dict[str, Any]) -> None:
    reading = cpm.parse(case["payload"])
    assert (reading.verdict == "strict") == case["valid"]
    expected = dict(case["expect"])
    if "error" in expected:
        assert expected.pop("error") in reading.issues
    for path, value in expected.items():
        assert _at(reading.fields, path) == value


def _at(fields: Any, path: str) -> Any:
    for step in path.split("/"):
        tag, _, number = step.partition("[")
        fields = fields[tag]
        if number:
            fields = fields[int(number.rstrip("]"))]
    return fields


@pytest.mark.parametrize("part", ["mpm", "cpm"])
def test_command_tells_every_payload_by_its_kind(part: str) -> None:
    for case in _ALL[part]:
        found = qr.read(case["payload"])
        assert found.reading.kind == f"emv-{part}"
        verdict = case.get("verdict", "strict" if case.get("valid") else "invalid")
        assert found.reading.verdict == verdict
        assert found.status == (0 if verdict == "strict" else 3)
        lenient = qr.read(case["payload"], lenient=True)
        assert lenient.status == (3 if verdict == "invalid" else 0)
