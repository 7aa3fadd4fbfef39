"""QR codes: `codec` for EMV payloads, `scanner` from pictures to texts, `symbol` back."""
