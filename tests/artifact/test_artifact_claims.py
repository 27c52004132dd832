"""``claims.jsonl``: who may say what about which artifact, and what is done about lines that do not fit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopt.artifact import claims
from mlopt.artifact.claims import Claim, attach, read, statement
from mlopt.artifact.signing.signers import CertificateSigner, KeySigner
from mlopt.artifact.signing.trust import CertificateTrust, KeyTrust
from mlopt.core.errors import ExitCode, IntegrityError, OutputError

NAME, ROOT = "digits", "0" * 64
FILES = {"mlopt.json": "1" * 64, "model.onnx": "2" * 64}
SEEN = "https://example.org/seen"
OURS, THEIRS = (KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
ABOUT = "the claim is about another artifact, or about other files"
MALFORMED = "the signature file is malformed"


def made(kind: str = SEEN, root: str = ROOT, files: dict[str, str] = FILES, **predicate: Any) -> bytes:
    return statement(NAME, root, files, kind, predicate)


def read_as(directory: Path, signer: KeySigner = OURS) -> tuple[Claim, ...]:
    return read(directory, KeyTrust(signer.private.public_key()), NAME, ROOT, FILES)


def edited(line: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(line)
    change(value)
    return json.dumps(value).encode() + b"\n"


def signatures(line: bytes) -> list[Any]:
    found: list[Any] = json.loads(line)["dsseEnvelope"]["signatures"]
    return found


def resigned(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A statement that the right signer signed, but not a sound one."""
    return OURS.sign(edited(made(), change).strip())


def test_no_file_and_an_empty_file_hold_no_claims(tmp_path: Path) -> None:
    assert read_as(tmp_path) == ()
    (tmp_path / "claims.jsonl").touch()
    assert read_as(tmp_path) == ()


def test_what_is_attached_is_read_by_whom_trusts_the_signer(tmp_path: Path) -> None:
    path = attach(tmp_path, [made(size=1), made(claims.PREDICATES["benchmark"])], OURS)
    assert path == tmp_path / "claims.jsonl"
    assert read_as(tmp_path) == (
        Claim(SEEN, OURS.name, {"size": 1}),
        Claim("https://mlopt.dev/benchmark/v1", OURS.name, {}),
    )
    assert read_as(tmp_path, THEIRS) == ()


def test_the_root_and_every_file_are_subjects(tmp_path: Path) -> None:
    line = attach(tmp_path, [made()], OURS).read_bytes()
    payload = json.loads(base64.b64decode(json.loads(line)["dsseEnvelope"]["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["subject"] == [
        {"name": "digits", "digest": {"sha256": ROOT}},
        {"name": "mlopt.json", "digest": {"sha256": "1" * 64}},
        {"name": "model.onnx", "digest": {"sha256": "2" * 64}},
    ]


def test_a_signer_replaces_their_own_lines_and_no_others(tmp_path: Path) -> None:
    attach(tmp_path, [made(by="them")], THEIRS)
    attach(tmp_path, [made(by="us"), made(by="us too")], OURS)
    attach(tmp_path, [made(by="us again")], OURS)
    assert [claim.predicate for claim in read_as(tmp_path)] == [{"by": "us again"}]
    assert [claim.predicate for claim in read_as(tmp_path, THEIRS)] == [{"by": "them"}]


def test_a_certified_signer_is_known_by_name_whatever_the_certificate(tmp_path: Path) -> None:
    authority = Authority.make()
    for number in range(2):
        certified = authority.signer()
        assert isinstance(certified.key, ec.EllipticCurvePrivateKey)
        signer = CertificateSigner(certified.key, (certified.certificate, authority.intermediate.certificate))
        attach(tmp_path, [made(number=number)], OURS)
        attach(tmp_path, [made(number=number)], signer)
    assert len((tmp_path / "claims.jsonl").read_bytes().splitlines()) == 2
    trusted = CertificateTrust((authority.root.certificate,))
    assert [claim.predicate for claim in read(tmp_path, trusted, NAME, ROOT, FILES)] == [{"number": 1}]


def test_lines_about_what_the_artifact_was_before_are_dropped(tmp_path: Path) -> None:
    attach(tmp_path, [made(root="9" * 64)], THEIRS)
    attach(tmp_path, [made()], OURS)
    assert len((tmp_path / "claims.jsonl").read_bytes().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(claims, "changing", refuse)
    with pytest.raises(OutputError, match="the claims could not be written: Permission denied"):
        attach(tmp_path, [made()], OURS)


def test_malformed_claims_of_others_are_not_built_on(tmp_path: Path) -> None:
    (tmp_path / "claims.jsonl").write_bytes(b"{}\n")
    with pytest.raises(IntegrityError, match=MALFORMED):
        attach(tmp_path, [made()], OURS)
    assert (tmp_path / "claims.jsonl").read_bytes() == b"{}\n"


LINE = OURS.sign(made())
THREATS: dict[str, tuple[bytes, str]] = {
    "payload changed": (
        edited(LINE, lambda b: b["dsseEnvelope"].update(payload=base64.b64encode(made(x=1)).decode())),
        "the signature is not valid",
    ),
    "signature of another line": (
        edited(LINE, lambda b: b["dsseEnvelope"].update(signatures=signatures(OURS.sign(made(x=1))))),
        "the signature is not valid",
    ),
    "signed by another, in our name": (
        edited(THEIRS.sign(made()), lambda b: b["verificationMaterial"]["publicKey"].update(hint=OURS.name)),
        "the signature is not valid",
    ),
    "signed by another, no name": (
        edited(THEIRS.sign(made()), lambda b: b["verificationMaterial"]["publicKey"].clear()),
        "the signature is not valid",
    ),
    "another artifact": (OURS.sign(made(root="3" * 64)), ABOUT),
    "another name": (OURS.sign(statement("other", ROOT, FILES, SEEN, {})), ABOUT),
    "one file less": (OURS.sign(made(files={"mlopt.json": "1" * 64})), ABOUT),
    "one file more": (OURS.sign(made(files={**FILES, "x": "3" * 64})), ABOUT),
    "one file changed": (OURS.sign(made(files={**FILES, "model.onnx": "3" * 64})), ABOUT),
    "digests swapped": (OURS.sign(made(files={"mlopt.json": "2" * 64, "model.onnx": "1" * 64})), ABOUT),
    "a file twice": (resigned(lambda s: s["subject"].append(s["subject"][-1])), ABOUT),
    "no subjects": (resigned(lambda s: s.pop("subject")), ABOUT),
    "no predicate": (resigned(lambda s: s.pop("predicate")), "the claim is malformed"),
    "no predicate type": (resigned(lambda s: s.pop("predicateType")), "the claim is malformed"),
    "another statement type": (resigned(lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")), "malformed"),
    "a statement of numbers": (OURS.sign(b"[1, 2]"), "the file is not a JSON object"),
    "a statement with a key twice": (
        OURS.sign(made()[:-1] + b',"predicate":{}}'), "the file is not valid JSON",
    ),
    "not JSON": (b"provenance: good\n", "the file is not valid JSON"),
    "an empty line": (b"\n" + LINE, "the file is not valid JSON"),
    "a key twice": (LINE.replace(b"{", b'{"mediaType": "x", ', 1), "the file is not valid JSON"),
    "no bundle": (b"{}\n", MALFORMED),
    "two signatures": (edited(LINE, lambda b: b["dsseEnvelope"].update(signatures=signatures(LINE) * 2)), MALFORMED),
    "no signature": (edited(LINE, lambda b: b["dsseEnvelope"].update(signatures=[])), MALFORMED),
    "a line of others that is no bundle": (
        edited(THEIRS.sign(made()), lambda b: b["dsseEnvelope"].pop("payload")), MALFORMED,
    ),
    "1,001 lines": (THEIRS.sign(made()) * 1001, "there are too many claims"),
    "only line ends": (b"\n" * 5000, "there are too many claims"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), THREATS.values(), ids=THREATS)
def test_what_is_not_a_sound_claim_of_ours_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "claims.jsonl").write_bytes(LINE + data)
    with pytest.raises(IntegrityError, match=message) as refused:
        read_as(tmp_path)
    assert refused.value.exit_code is ExitCode.INTEGRITY
    assert "claims.jsonl" in str(refused.value.problems[0].where)


def test_the_line_that_is_refused_is_named(tmp_path: Path) -> None:
    (tmp_path / "claims.jsonl").write_bytes(LINE + THEIRS.sign(made()) + b"x\n")
    with pytest.raises(IntegrityError) as refused:
        read_as(tmp_path)
    assert str(refused.value.problems[0].where).endswith("claims.jsonl:3")


def test_1000_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "claims.jsonl").write_bytes(LINE + THEIRS.sign(made()) * 999)
    assert len(read_as(tmp_path)) == 1


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "claims.jsonl").open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(IntegrityError, match="the file is too large"):
        read_as(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(LINE)
    (tmp_path / "claims.jsonl").symlink_to("elsewhere")
    with pytest.raises(IntegrityError, match="it is a symbolic link"):
        read_as(tmp_path)
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(IntegrityError, match="it is a symbolic link"):
        read_as(tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.tuples(st.integers(0, len(LINE) - 1), st.binary(min_size=1, max_size=8)).map(
        lambda edit: LINE[: edit[0]] + edit[1] + LINE[edit[0] + len(edit[1]) :]
    )
)
def test_any_bytes_are_either_our_claim_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "claims.jsonl").write_bytes(data)
    try:
        found = read_as(tmp_path)
    except IntegrityError:
        return
    assert {claim.predicate_type for claim in found} <= {SEEN}  # a line with another hint is skipped
    assert all(claim.predicate == {} for claim in found)
