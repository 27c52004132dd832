"""Certificates for tests: a root and an intermediate, whose parts can be made wrong one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from mlopt.artifact.signing import bundle, certificates
from mlopt.artifact.signing.trust import CertificateTrust

NOW = datetime.now(UTC).replace(microsecond=0)
CODE_SIGNING = (ExtendedKeyUsageOID.CODE_SIGNING,)
SIGNER = "release@example.com"
PAYLOAD = b'{"a": "statement"}'

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Certified:
    """A key and its certificate."""

    key: PrivateKey
    certificate: x509.Certificate


def new_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def issue(
    common_name: str,
    issuer: Certified | None = None,
    *,
    key: PrivateKey | None = None,
    ca: bool = False,
    path_length: int | None = None,
    uses: Sequence[ObjectIdentifier] = (),
    names: Sequence[x509.GeneralName] = (),
    key_usage: bool = True,
    basic: bool = True,
    days: tuple[float, float] = (-1, 30),
    constraints: x509.NameConstraints | None = None,
) -> Certified:
    """Issue a certificate; without an issuer it is self-signed."""
    key = key or new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start, end = (NOW + timedelta(days=offset) for offset in days)
    builder = (
        x509.CertificateBuilder(issuer.certificate.subject if issuer else subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if key_usage:
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        builder = builder.add_extension(usage, critical=True)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if constraints:
        builder = builder.add_extension(constraints, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    above = (issuer.key if issuer else key).public_key()
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    return Certified(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


@dataclass(frozen=True)
class Authority:
    """A root, and an intermediate that issues signers' certificates."""

    root: Certified
    intermediate: Certified

    @classmethod
    def make(cls) -> Authority:
        root = issue("Example Root", ca=True)
        return cls(root, issue("Example Issuing", root, ca=True, path_length=0))

    def signer(self, curve: ec.EllipticCurve | None = None) -> Certified:
        name = x509.RFC822Name(SIGNER)
        return issue("Release", self.intermediate, key=new_key(curve), uses=CODE_SIGNING, names=[name])


def write_pem(path: Path, *certified: Certified) -> Path:
    path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in certified))
    return path


def chain(*certified: Certified) -> certificates.Chain:
    return tuple(one.certificate for one in certified)


def signed_by(key: PrivateKey, certified: certificates.Chain) -> bytes:
    """Return a bundle as somebody would make it who checks nothing."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(bundle.pae(PAYLOAD), ec.ECDSA(hashes.SHA256()))
    else:
        signature = b"\x30\x00"
    return bundle.pack(bundle.Envelope(PAYLOAD, signature, certificates=certificates.encode(certified)))


def trusting(authority: Authority, identity: str | None = None) -> CertificateTrust:
    return CertificateTrust(chain(authority.root), identity)
