"""Keyless signing: an identity instead of a key, by the `sigstore` package (extra ``keyless``).

The signer proves an identity (an e-mail address, a CI workflow) to an OpenID Connect issuer. Sigstore's authority gives
a certificate of ten minutes for it, and a public log keeps the signature: that is what shows, years later, that it was
made within those minutes. Who verifies names the identity *and* the issuer: an identity alone is what any issuer says.

Verifying needs no network; it was tested with a signature of the public instance. Signing needs its servers. It was
tested against the same protocols on one machine (``tests/helpers/local_sigstore.py``), not against those servers, and
the login in a browser was not tested.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mlopt.artifact.files import shown
from mlopt.artifact.signing import bundle
from mlopt.artifact.signing.base import GET_AGAIN, Opened, UnknownSignerError
from mlopt.core import network
from mlopt.core.errors import IntegrityError, MissingPackage, OutputError, UserError
from mlopt.core.packages import install_command

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer
    from sigstore.verify import Verifier
    from sigstore.verify.policy import VerificationPolicy

_NO_IDENTITY = (
    "in CI, give the job an identity token (GitHub Actions: permissions: id-token: write); elsewhere run it on a "
    "terminal, to log in with a browser; or sign with a key: --key"
)
_ROOT_OF_TRUST = "check that the cache folder is writable, or remove its sigstore-python folder"


@dataclass
class KeylessSigner:
    """Signs as whoever the CI system or a login in the browser says that this is.

    Making one only looks whether there is an identity to be had; the certificate is asked for when something is signed,
    because it is good for ten minutes. Raises ``MissingPackage`` and ``OutputError``.
    """

    _session: Signer | None = field(default=None, init=False, repr=False)
    _certificate: Certificate | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _require_package()
        if not sys.stdin.isatty() and _ambient_token() is None:
            raise OutputError("there is no identity to sign with", fix=_NO_IDENTITY)

    @property
    def name(self) -> str:
        """The identity and its issuer, as the last certificate says; before the first signature nobody knows it."""
        return "an identity not yet proved" if self._certificate is None else _who(self._certificate)

    def sign(self, statement: bytes) -> bytes:
        """Return a bundle with a certificate and the log's entry. Raises ``OutputError`` when a server refuses."""
        from sigstore._internal.fulcio.client import ExpiredCertificate, FulcioClientError
        from sigstore._internal.rekor import RekorClientError
        from sigstore.errors import Error
        from sigstore.oidc import ExpiredIdentity, IssuerError

        expired = (ExpiredCertificate, ExpiredIdentity)
        try:
            with network.opened():
                try:
                    signed = self._sign(statement)
                except expired:
                    self._session = None
                    signed = self._sign(statement)
        except (Error, FulcioClientError, RekorClientError, IssuerError, OSError, ValueError, *expired) as error:
            raise OutputError(
                "sigstore gave no signature", got=shown(f"{type(error).__name__}: {error}"),
                fix="check that sigstore.dev can be reached, and try again; or sign with a key: --key",
            ) from error  # fmt: skip
        self._certificate = signed.signing_certificate
        return signed.to_json().encode() + b"\n"

    def _sign(self, statement: bytes) -> Bundle:
        from sigstore.dsse import Statement
        from sigstore.models import ClientTrustConfig
        from sigstore.sign import SigningContext

        if self._session is None:
            config = ClientTrustConfig.production()
            token = _token(config.signing_config.get_oidc_url())
            with SigningContext.from_trust_config(config).signer(token) as session:
                self._session = session
        return self._session.sign_dsse(Statement(statement))


@dataclass(frozen=True)
class KeylessTrust:
    """Believes one identity, as one issuer proved it: both exactly as they stand in the certificate."""

    identity: str
    """An e-mail address or URI, such as that of a workflow: ``https://github.com/O/R/.github/workflows/W@REF``."""
    issuer: str
    """The URL of the OpenID Connect issuer, such as ``https://token.actions.githubusercontent.com``."""

    def __post_init__(self) -> None:
        _require_package()
        if not self.identity or not self.issuer:
            raise UserError(
                "a keyless signature needs both an identity and its issuer", got=f"{self.identity!r}, {self.issuer!r}",
                fix="give --identity WHO and --issuer URL",
            )  # fmt: skip

    def open(self, data: bytes, where: str) -> Opened:
        """Open a bundle of ``KeylessSigner``, or of any sigstore client of the public instance, without the network.

        Checked are the certificate's chain at the time of signing, its transparency (SCT), its use (code signing), the
        identity and issuer, the log entry (inclusion proof, checkpoint, promise) and that it is about this very
        signature, and the signature.
        """
        from sigstore.models import Bundle

        envelope = bundle.unpack(data, where)
        if not envelope.keyless:
            raise UnknownSignerError(
                "signed by a key, not by an identity", where=where, expected="a keyless signature",
                fix="name the signer's key with --key PUB, or the root of its certificates with --root PEM",
            )  # fmt: skip
        verifier, policy = self._verifier, self._policy
        try:
            keyless = Bundle.from_json(data)
            self._check_identity(keyless.signing_certificate, policy, where)
            kind, payload = verifier.verify_dsse(keyless, policy)
        except _refusals() as error:
            raise IntegrityError(
                "the keyless signature is not valid", where=where, got=shown(str(error) or type(error).__name__),
                expected=f"a signature of {self.identity} ({self.issuer})", fix=GET_AGAIN,
            ) from error  # fmt: skip
        if (kind, payload) != (bundle.PAYLOAD_TYPE, envelope.payload):
            raise IntegrityError("the signature file can be read in two ways", where=where, fix=GET_AGAIN)
        return Opened(payload, f"{self.identity} ({self.issuer})")

    def _check_identity(self, certificate: Certificate, policy: VerificationPolicy, where: str) -> None:
        from sigstore.errors import VerificationError

        try:
            policy.verify(certificate)
        except VerificationError as error:
            raise UnknownSignerError(
                "signed by another identity, or one that another issuer proved", where=where,
                got=shown(_who(certificate)), expected=f"{self.identity} ({self.issuer})",
                fix="if you trust that signer, name it with --identity and --issuer",
            ) from error  # fmt: skip

    @cached_property
    def _policy(self) -> VerificationPolicy:
        from sigstore.verify.policy import AllOf, Identity, OIDCIssuerV2

        return AllOf([OIDCIssuerV2(self.issuer), Identity(identity=self.identity)])

    @cached_property
    def _verifier(self) -> Verifier:
        from sigstore.errors import Error
        from sigstore.verify import Verifier

        # Unasked, the package would say on standard error that it works offline, which is what is wanted here.
        logging.getLogger("sigstore").addHandler(logging.NullHandler())
        try:
            return Verifier.production(offline=True)
        except (Error, OSError, ValueError) as error:
            raise OutputError(
                "sigstore's root of trust cannot be read", got=shown(f"{type(error).__name__}: {error}"),
                fix=_ROOT_OF_TRUST,
            ) from error  # fmt: skip


def _require_package() -> None:
    if find_spec("sigstore") is None:
        raise MissingPackage("keyless signing needs the package sigstore", fix=install_command("keyless"))


def _refusals() -> tuple[type[Exception], ...]:
    """Return what the package raises on a signature that is not valid, and what on bytes that are no signature."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from sigstore.errors import Error

    odd_certificate = (x509.DuplicateExtension, x509.ExtensionNotFound, x509.InvalidVersion)
    odd_content = (x509.UnsupportedGeneralNameType, UnsupportedAlgorithm)
    return (Error, ValueError, TypeError, AttributeError, OverflowError, *odd_certificate, *odd_content)


def _who(certificate: Certificate) -> str:
    """Return the identity in a certificate with its issuer, as ``KeylessTrust`` names them."""
    from cryptography.hazmat import asn1
    from cryptography.x509 import SubjectAlternativeName
    from sigstore.verify.policy import OIDCIssuerV2

    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    issuer = certificate.extensions.get_extension_for_oid(OIDCIssuerV2.oid).value
    return f"{', '.join(str(name.value) for name in names)} ({asn1.decode_der(str, issuer.public_bytes())})"


def _ambient_token() -> str | None:
    from sigstore.oidc import IdentityError, detect_credential

    try:
        with network.opened():
            return detect_credential()
    except IdentityError as error:
        raise OutputError(
            "the CI system gives no identity to sign with", got=shown(str(error)), fix=_NO_IDENTITY
        ) from error


def _token(issuer_url: str) -> IdentityToken:
    from sigstore.oidc import IdentityToken, Issuer

    raw = _ambient_token()
    return Issuer(issuer_url).identity_token() if raw is None else IdentityToken(raw)
