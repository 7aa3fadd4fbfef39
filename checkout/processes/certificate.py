"""A certificate for this machine's own names and addresses, so that phones may use their camera.

No authority signs it: a browser warns once, and the visitor compares the fingerprint that the
checkout prints. It is made again when an address is missing from it or it is about to expire.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from checkout.addresses import lan_addresses
from checkout.config import Config
from checkout.private_files import private_folder, replace_private

# Browsers refuse longer ones (CA/Browser Forum, Baseline Requirements).
_VALID = timedelta(days=397)
_RENEWED_BEFORE = timedelta(days=30)


def certificate_files(config: Config, *, now: datetime | None = None) -> tuple[Path, Path]:
    """Certificate and key, both PEM, in `config.home`; made where none there serves any more."""
    moment = now or datetime.now(UTC)
    keys = private_folder(config.home / "keys")
    certificate, key = keys / "web-certificate.pem", keys / "web-key.pem"
    names = server_names(config)
    if not (key.exists() and _still_serves(certificate, names, moment)):
        _make(certificate, key, names, moment)
    return certificate, key


def fingerprint_of(certificate: Path) -> str:
    """The SHA-256 fingerprint as browsers show it: pairs of hex digits with colons."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.fingerprint(hashes.SHA256()).hex(":").upper()


def server_names(config: Config) -> tuple[str, ...]:
    """Every name and address under which a browser may reach this server."""
    machine = socket.gethostname().lower()
    names = ["localhost", "127.0.0.1", "::1", machine]
    if "." not in machine:
        names.append(f"{machine}.local")
    names += lan_addresses()
    if config.public_url is not None:
        names.append((urlsplit(config.public_url).hostname or "").lower())
    return tuple(dict.fromkeys(name for name in names if name))


def _still_serves(path: Path, names: tuple[str, ...], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    known = {str(each) for each in held.get_values_for_type(x509.IPAddress)}
    known |= set(held.get_values_for_type(x509.DNSName))
    return now + _RENEWED_BEFORE < certificate.not_valid_after_utc and known >= set(names)


def _make(certificate: Path, key: Path, names: tuple[str, ...], now: datetime) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Checkout on this machine")])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(secrets.randbits(120) | 1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(private, hashes.SHA256())
    )
    replace_private(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    replace_private(certificate, built.public_bytes(serialization.Encoding.PEM))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
