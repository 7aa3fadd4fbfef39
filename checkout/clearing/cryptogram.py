"""Public path of `checkout.clearing.hsm.cryptogram`."""

from checkout.clearing.hsm.cryptogram import (
    AtcVerdict as AtcVerdict,
    CryptogramVerdict as CryptogramVerdict,
    atc_verdict as atc_verdict,
    verify_arqc as verify_arqc,
)
