"""Public path of `checkout.clearing.scheme.participants`."""

from checkout.clearing.scheme.participants import (
    AccountRange as AccountRange,
    CardKind as CardKind,
    Participant as Participant,
    Participants as Participants,
    Role as Role,
    Scheme as Scheme,
    demo_participants as demo_participants,
)
