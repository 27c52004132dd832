"""A signer's certificate counts if it is for signing code, valid now, and leads to a pinned root; and not otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authority import (
    CODE_SIGNING,
    NOW,
    PAYLOAD,
    SIGNER,
    Authority,
    Certified,
    chain,
    issue,
    new_key,
    signed_by,
    trusting,
    write_pem,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.artifact import layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import bundle, certificates
from mlopt.artifact.signing.base import UnknownSignerError
from mlopt.artifact.signing.signers import CertificateSigner
from mlopt.artifact.signing.trust import CertificateTrust, claimed_signer
from mlopt.artifact.verify import verify
from mlopt.core.errors import ExitCode, IntegrityError, OutputError


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make()


def test_an_artifact_is_signed_and_verified(authority: Authority, tmp_path: Path, fill: Any) -> None:
    release = authority.signer()
    layout.write(tmp_path / "digits", fill())
    sign(tmp_path / "digits", CertificateSigner(release.key, chain(release, authority.intermediate)))
    roots = write_pem(tmp_path / "root.pem", authority.root)
    assert verify(tmp_path / "digits", CertificateTrust.of(roots, SIGNER)).signer == SIGNER
    (tmp_path / "digits" / "model.onnx").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="the file was changed after it was signed"):
        verify(tmp_path / "digits", CertificateTrust.of(roots))


def leaf(issuer: Certified, **changes: Any) -> Certified:
    return issue("Release", issuer, **{"uses": CODE_SIGNING, **changes})


def _expired(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, days=(-10, -1)), a.intermediate


def _future(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, days=(1, 10)), a.intermediate


def _expired_intermediate(a: Authority) -> tuple[Certified, ...]:
    intermediate = issue("Example Issuing", a.root, ca=True, days=(-10, -1))
    return leaf(intermediate), intermediate


def _tls_only(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, uses=(ExtendedKeyUsageOID.SERVER_AUTH,)), a.intermediate


def _any_use(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, uses=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), a.intermediate


def _no_use(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, uses=()), a.intermediate


def _no_key_usage(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, key_usage=False), a.intermediate


def _other_root_of_that_name(a: Authority) -> tuple[Certified, ...]:
    root = issue("Example Root", ca=True)
    intermediate = issue("Example Issuing", root, ca=True)
    return leaf(intermediate), intermediate


def _other_root(_a: Authority) -> tuple[Certified, ...]:
    root = issue("Other Root", ca=True)
    return leaf(root), root


def _no_intermediate(a: Authority) -> tuple[Certified, ...]:
    return (leaf(a.intermediate),)


def _intermediate_no_ca(a: Authority) -> tuple[Certified, ...]:
    intermediate = issue("Example Issuing", a.root)
    return leaf(intermediate), intermediate


def _intermediate_without_constraints(a: Authority) -> tuple[Certified, ...]:
    intermediate = issue("Example Issuing", a.root, ca=True, basic=False)
    return leaf(intermediate), intermediate


def _intermediate_may_not_certify(a: Authority) -> tuple[Certified, ...]:
    intermediate = issue("Example Issuing", a.root, ca=True, key_usage=False)
    return leaf(intermediate), intermediate


def _intermediate_for_tls(a: Authority) -> tuple[Certified, ...]:
    intermediate = issue("Example Issuing", a.root, ca=True, uses=(ExtendedKeyUsageOID.SERVER_AUTH,))
    return leaf(intermediate), intermediate


def _path_length(a: Authority) -> tuple[Certified, ...]:
    below = issue("Too Deep", a.intermediate, ca=True)
    return leaf(below), below, a.intermediate


def _outside_name_constraints(a: Authority) -> tuple[Certified, ...]:
    only = x509.NameConstraints([x509.RFC822Name("other.example")], None)
    intermediate = issue("Example Issuing", a.root, ca=True, constraints=only)
    return leaf(intermediate, names=[x509.RFC822Name(SIGNER)]), intermediate


def _self_signed(_a: Authority) -> tuple[Certified, ...]:
    return (issue("Release", uses=CODE_SIGNING),)


def _self_signed_as_the_root(_a: Authority) -> tuple[Certified, ...]:
    return (issue("Example Root", uses=CODE_SIGNING),)


def _authority_as_signer(a: Authority) -> tuple[Certified, ...]:
    return (a.intermediate,)


def _wrong_order(a: Authority) -> tuple[Certified, ...]:
    below = issue("Third", issue("Second", a.root, ca=True), ca=True)
    return leaf(below), issue("Second", a.root, ca=True), below


def _issuer_first(a: Authority) -> tuple[Certified, ...]:
    return a.intermediate, leaf(a.intermediate)


def _same_name_twice(a: Authority) -> tuple[Certified, ...]:
    renewed = issue("Example Issuing", a.intermediate, ca=True)
    return leaf(renewed), renewed, a.intermediate


def _rsa(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, key=rsa.generate_private_key(65537, 2048)), a.intermediate


def _other_curve(a: Authority) -> tuple[Certified, ...]:
    return leaf(a.intermediate, key=new_key(ec.SECP256K1())), a.intermediate


NO_PATH = "the certificate does not lead to a trusted root"
ORDER = "the certificate is followed by another one than its issuer's"
BAD: dict[Callable[[Authority], tuple[Certified, ...]], tuple[str, ...]] = {
    _expired: ("the certificate has expired", "got       CN=Release, "),
    _future: ("the certificate is not valid yet",),
    _expired_intermediate: ("the certificate has expired", "CN=Example Issuing, "),
    _tls_only: ("the certificate is not for signing code", "expected  the extended key usage codeSigning"),
    _any_use: ("the certificate is not for signing code",),
    _no_use: ("the certificate is not for signing code",),
    _no_key_usage: ("the certificate is not for digital signatures",),
    _other_root_of_that_name: (NO_PATH, "signature does not match"),
    _other_root: ("signed by Release, under an unknown root", "--root PEM"),
    _no_intermediate: ("under an unknown root", "CN=Release"),
    _intermediate_no_ca: (NO_PATH, "basicConstraints.cA must be asserted"),
    _intermediate_without_constraints: (NO_PATH, "missing required extension"),
    _intermediate_may_not_certify: (NO_PATH, "missing required extension"),
    _intermediate_for_tls: (NO_PATH, "limited to other uses than code signing"),
    _path_length: (NO_PATH, "path length constraint violated"),
    _outside_name_constraints: (NO_PATH, "no permitted name constraints matched SAN"),
    _self_signed: ("signed by Release, under an unknown root",),
    _self_signed_as_the_root: (NO_PATH,),
    _authority_as_signer: ("the certificate is an authority's, not a signer's",),
    _wrong_order: (ORDER, "expected  the signer's certificate first, then each one's issuer"),
    _issuer_first: (ORDER,),
    _same_name_twice: ("the certificate leads to two of the same name",),
    _rsa: ("the certificate has a key that the signature format does not know, RSAPublicKey",),
    _other_curve: ("the certificate has a key that the signature format does not know, secp256k1",),
}


@pytest.mark.parametrize("case", BAD, ids=[case.__name__.lstrip("_") for case in BAD])
def test_a_bad_certificate_is_refused(authority: Authority, case: Callable[[Authority], tuple[Certified, ...]]) -> None:
    certified = case(authority)
    data = signed_by(certified[0].key, chain(*certified))
    with pytest.raises(IntegrityError) as caught:
        trusting(authority).open(data, "model.sig")
    assert caught.value.exit_code == ExitCode.INTEGRITY
    for part in BAD[case]:
        assert part in str(caught.value)


def test_an_expired_root_is_refused(authority: Authority) -> None:
    root = issue("Old Root", ca=True, days=(-10, -1))
    release = leaf(root)
    with pytest.raises(IntegrityError, match=f"{NO_PATH}(.|\n)*not valid at validation time"):
        CertificateTrust(chain(root)).open(signed_by(release.key, chain(release)), "model.sig")


def test_what_is_valid_now_is_not_valid_later(authority: Authority) -> None:
    release = authority.signer()
    data = signed_by(release.key, chain(release, authority.intermediate))
    for days, message in ((-2, "is not valid yet"), (31, "has expired")):
        with pytest.raises(IntegrityError, match=f"the certificate {message}"):
            CertificateTrust(chain(authority.root), now=NOW + timedelta(days=days)).open(data, "model.sig")


def test_the_root_may_be_in_the_bundle_but_is_not_believed_for_it(authority: Authority) -> None:
    release = authority.signer()
    data = signed_by(release.key, chain(release, authority.intermediate, authority.root))
    assert trusting(authority).open(data, "model.sig").signer == SIGNER
    with pytest.raises(UnknownSignerError, match="under an unknown root"):
        CertificateTrust(chain(issue("Mine", ca=True))).open(data, "model.sig")


@pytest.mark.parametrize(
    "name",
    [x509.RFC822Name("a@b.example"), x509.UniformResourceIdentifier("https://b.example/w"), x509.DNSName("b.example")],
)
def test_every_kind_of_name_is_an_identity(authority: Authority, name: Any) -> None:
    release = leaf(authority.intermediate, names=[x509.IPAddress(_address()), name])
    data = signed_by(release.key, chain(release, authority.intermediate))
    assert trusting(authority, name.value).open(data, "model.sig").signer == name.value


def _address() -> Any:
    from ipaddress import ip_address

    return ip_address("192.0.2.1")


def test_a_common_name_is_an_identity_only_without_other_names(authority: Authority) -> None:
    release = leaf(authority.intermediate)
    data = signed_by(release.key, chain(release, authority.intermediate))
    assert trusting(authority, "Release").open(data, "model.sig").signer == "Release"


def test_a_common_name_does_not_evade_name_constraints(authority: Authority) -> None:
    only = x509.NameConstraints([x509.RFC822Name("other.example")], None)
    intermediate = issue("Example Issuing", authority.root, ca=True, constraints=only)
    release = issue(SIGNER, intermediate, uses=CODE_SIGNING)
    data = signed_by(release.key, chain(release, intermediate))
    with pytest.raises(UnknownSignerError, match="signed by somebody else"):
        trusting(authority, SIGNER).open(data, "model.sig")


def test_a_name_cannot_draw_on_the_terminal(authority: Authority) -> None:
    release = issue("\x1b[2Jroot", authority.intermediate, uses=CODE_SIGNING)
    data = signed_by(release.key, chain(release, authority.intermediate))
    assert trusting(authority).open(data, "model.sig").signer == r"'\x1b[2Jroot'"


def test_a_signature_by_another_key_than_the_certified_is_refused(authority: Authority) -> None:
    data = signed_by(new_key(), chain(authority.signer(), authority.intermediate))
    with pytest.raises(IntegrityError, match="the signature is not valid") as caught:
        trusting(authority).open(data, "model.sig")
    assert f"a signature of {SIGNER}" in str(caught.value)


def test_more_certificates_than_a_chain_has_are_refused(authority: Authority) -> None:
    release = authority.signer()
    data = signed_by(release.key, chain(release, *[authority.intermediate] * 40))
    with pytest.raises(IntegrityError, match="the signature file is malformed") as caught:
        trusting(authority).open(data, "model.sig")
    assert "at most 10 items" in str(caught.value)


@pytest.mark.parametrize("der", [b"", b"garbage", b"\x30\x82\xff\xff", b"\x30\x00"])
def test_garbage_is_no_certificate(authority: Authority, der: bytes) -> None:
    data = bundle.pack(bundle.Envelope(PAYLOAD, b"", certificates=(der,)))
    for read in (trusting(authority).open, claimed_signer):
        with pytest.raises(IntegrityError, match="a certificate is malformed"):
            read(data, "model.sig")


def test_a_name_of_bits_is_no_name(authority: Authority) -> None:
    """Fuzzing found this: the library raises ``TypeError``, and only when the name is asked for."""
    encoded = certificates.encode(chain(authority.signer()))[0]
    der = encoded.replace(b"\x0c\x07Release", b"\x03\x07\x00elease")
    assert der != encoded
    data = bundle.pack(bundle.Envelope(PAYLOAD, b"", certificates=(der,)))
    with pytest.raises(IntegrityError, match="a certificate is malformed"):
        trusting(authority).open(data, "model.sig")


@pytest.mark.heavy
@given(spoilt=st.lists(st.tuples(st.integers(0, 999), st.integers(1, 255)), min_size=1, max_size=4))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_spoilt_certificate_raises_nothing_else(authority: Authority, spoilt: list[tuple[int, int]]) -> None:
    release = authority.signer()
    encoded = [bytearray(der) for der in certificates.encode(chain(release, authority.intermediate))]
    for place, mask in spoilt:
        encoded[place % 2][place % len(encoded[place % 2])] ^= mask
    data = bundle.pack(bundle.Envelope(PAYLOAD, b"", certificates=tuple(map(bytes, encoded))))
    with pytest.raises(IntegrityError):
        trusting(authority, SIGNER).open(data, "model.sig")


@pytest.mark.parametrize("case", [_expired, _tls_only, _wrong_order, _authority_as_signer])
def test_what_would_not_verify_is_not_signed_with(
    authority: Authority, case: Callable[[Authority], tuple[Certified, ...]]
) -> None:
    certified = case(authority)
    with pytest.raises(OutputError) as caught:
        CertificateSigner(certified[0].key, chain(*certified))
    assert BAD[case][0] in str(caught.value)


def test_files_of_certificates_are_refused_with_one_cause(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "garbage.pem").write_text("garbage")
    (tmp_path / "huge.pem").write_bytes(bytes(100_000))
    many = write_pem(tmp_path / "many.pem", *[authority.signer()] * 11)
    for name, message in (
        ("garbage.pem", "this is no certificate in PEM form"),
        ("huge.pem", "the file is too large for a certificate"),
        ("none.pem", "the certificate file does not exist"),
        (".", "the certificate is not a regular file"),
    ):
        for load in (certificates.load_chain, certificates.load_roots):
            with pytest.raises(OutputError, match=message):
                load(tmp_path / name)
    with pytest.raises(OutputError, match="there are too many certificates"):
        certificates.load_chain(many)


def test_only_authorities_are_roots(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="this certificate is not of an authority") as caught:
        CertificateTrust.of(write_pem(tmp_path / "a.pem", authority.root, authority.signer()))
    assert "got       CN=Release" in str(caught.value)
