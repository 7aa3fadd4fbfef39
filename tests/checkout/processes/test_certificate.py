"""The certificate that this machine makes for itself."""

from __future__ import annotations

import hashlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from checkout.config import Config
from checkout.processes import certificate
from checkout.processes.certificate import certificate_files, fingerprint_of, server_names


def test_the_certificate_names_this_machine_and_its_addresses(tmp_path: Path) -> None:
    config = Config(home=tmp_path, public_url="https://pay.example/")
    file, _ = certificate_files(config)
    held = x509.load_pem_x509_certificate(file.read_bytes())
    names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    shown = {str(each.value) for each in names}
    assert {"localhost", "127.0.0.1", "::1", "pay.example"} <= shown
    assert shown == set(server_names(config))


def test_it_is_kept_until_it_is_old_or_an_address_is_missing(tmp_path: Path, monkeypatch) -> None:
    config = Config(home=tmp_path)
    first, _ = certificate_files(config)
    before = first.read_bytes()
    assert certificate_files(config)[0].read_bytes() == before
    monkeypatch.setattr(certificate, "lan_addresses", lambda: ("192.0.2.123",))
    moved = certificate_files(config)[0].read_bytes()
    assert moved != before
    assert certificate_files(config)[0].read_bytes() == moved
    later = datetime.now(UTC) + timedelta(days=380)
    assert certificate_files(config, now=later)[0].read_bytes() != moved


def test_the_key_is_its_owners_alone_and_fits_the_certificate(tmp_path: Path) -> None:
    file, key = certificate_files(Config(home=tmp_path))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)


def test_the_fingerprint_is_what_a_browser_shows(tmp_path: Path) -> None:
    file, _ = certificate_files(Config(home=tmp_path))
    der = ssl.PEM_cert_to_DER_cert(file.read_text("ascii"))
    shown = fingerprint_of(file)
    assert len(shown.split(":")) == 32
    assert shown.replace(":", "").lower() == hashlib.sha256(der).hexdigest()
