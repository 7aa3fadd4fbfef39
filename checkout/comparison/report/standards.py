"""The steps of each way to pay with the clause each comes from, for people to read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REFERENCE_FILE = Path(__file__).with_name("reference.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceStep:
    """One step: who sends to whom, what happens, and the clause that says so."""

    source: str
    target: str
    what: str
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTable:
    """One way to pay; `mode` is qr, nfc or both."""

    name: str
    title: str
    mode: str
    steps: tuple[ReferenceStep, ...]

    def as_json(self) -> dict[str, object]:
        """The table as the JSON report and the API have it."""
        return {
            "name": self.name,
            "title": self.title,
            "mode": self.mode,
            "steps": [
                {"from": step.source, "to": step.target, "what": step.what, "clause": step.clause}
                for step in self.steps
            ],
        }


@cache
def reference_tables() -> tuple[ReferenceTable, ...]:
    """Every table, in reading order."""
    with REFERENCE_FILE.open("rb") as file:
        ways = tomllib.load(file)["way"]
    return tuple(
        ReferenceTable(
            name=way["name"],
            title=way["title"],
            mode=way["mode"],
            steps=tuple(
                ReferenceStep(
                    source=step["from"], target=step["to"], what=step["what"], clause=step["clause"]
                )
                for step in way["steps"]
            ),
        )
        for way in ways
    )
