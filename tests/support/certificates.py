"""Certificates for the servers that the tests start: an authority of a test's own, and what it has signed."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificates", "make_certificates"]


class Certificates(NamedTuple):
    """Paths of PEM files: the authority's certificate, and a certificate for this machine with its key."""

    authority: str
    certificate: str
    key: str


def make_certificates(directory: Path) -> Certificates:
    """Write an authority and a certificate of it for localhost and 127.0.0.1, good for a day.

    It also names id.example.org, for an identity provider behind a proxy.
    """
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])

    def begun(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(authority, subject, public, x509.random_serial_number())
        day = datetime.timedelta(days=1)
        return builder.not_valid_before(now - day).not_valid_after(now + day)

    names = [
        x509.DNSName("localhost"),
        x509.DNSName("id.example.org"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    signed = {
        "authority": begun(authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256()),
        "certificate": begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256()),
    }
    files = {name: directory / f"{name}.pem" for name in (*signed, "key")}
    for name, certificate in signed.items():
        files[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files["key"].write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return Certificates(*(str(path) for path in files.values()))
