"""Recordings of taps as APDU transcripts: `record` writes one, `TranscriptReader` replays it."""

from devices.nfc.transcript.conditions import Conditions
from devices.nfc.transcript.recording import may_record_unmasked, record
from devices.nfc.transcript.transcript import (
    Deviation,
    RecordedExchange,
    Transcript,
    TranscriptCard,
    TranscriptError,
    TranscriptReader,
    parse_transcript,
)

__all__ = [
    "Conditions",
    "Deviation",
    "RecordedExchange",
    "Transcript",
    "TranscriptCard",
    "TranscriptError",
    "TranscriptReader",
    "may_record_unmasked",
    "parse_transcript",
    "record",
]
