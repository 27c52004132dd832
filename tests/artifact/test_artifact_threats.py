"""``THREATS`` lists what can be done to a signed artifact: each must end with exit code 4, and say what is wrong where.

Certificates and identities have a table of their own, beside their tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tampering import (
    as_directory,
    as_empty_directory,
    as_fifo,
    as_gigabyte,
    as_socket,
    as_symlink,
    claim_as_signature,
    claim_by_another,
    claim_lines,
    claim_of_another,
    deep_nest,
    flip_a_byte,
    in_bundle,
    in_manifest,
    in_signature,
    resources,
    signature_bytes,
    signature_of_another,
    signed_by_other,
    signed_file,
    signed_name,
    signed_payload,
    signed_statement,
    swap,
    swap_names,
    unsigned_statement,
    write,
)

from mlopt.artifact import claims, layout
from mlopt.artifact.sign import sign
from mlopt.artifact.signing import keys
from mlopt.artifact.signing.signers import KeySigner
from mlopt.cli.app import run
from mlopt.core.errors import ExitCode


@pytest.fixture
def signed(tmp_path: Path, fill: Any) -> Path:
    own = keys.user_key()
    layout.write(tmp_path / "digits", fill(nested=True), seal=lambda folder: sign(folder, KeySigner(own.private)))
    return tmp_path / "digits"


class Threat(NamedTuple):
    """What is done, what ``verify`` says of it, and what it names; ``args`` are options of the command."""

    do: Callable[[Path], object]
    says: str
    names: str
    args: Sequence[str] = ()


CHANGED, ADDED, REMOVED = "the file was changed after it was signed", "the file was added", "the file was removed"
NO_PLAIN_FILE, MALFORMED = "the file cannot be trusted: it is no regular file", "the signature file is malformed"
INVALID, STRANGE, UNSAFE = "the signature is not valid", "the signed statement is malformed", "an unsafe path"
NO_JSON = "the file is not valid JSON"
DEEP = b'{"a":' * 100_000

FILES = {
    "one bit of the model": Threat(lambda d: flip_a_byte(d / "model.onnx"), CHANGED, "model.onnx"),
    "model cut short": Threat(lambda d: (d / "model.onnx").write_bytes(b""), CHANGED, "model.onnx"),
    "manifest changed": Threat(lambda d: flip_a_byte(d / "mlopt.json"), CHANGED, "mlopt.json"),
    "nested file changed": Threat(lambda d: flip_a_byte(d / "raw/final.json"), CHANGED, "raw/final.json"),
    "file added": Threat(lambda d: write(d / "extra.py"), ADDED, "extra.py"),
    "file added in a folder": Threat(lambda d: write(d / "raw/extra.py"), ADDED, "raw/extra.py"),
    "hidden file added": Threat(lambda d: write(d / ".gitignore"), ADDED, "'.gitignore'"),
    "git folder added": Threat(lambda d: write(d / ".git/x"), ADDED, "'.git/x'"),
    "GitHub folder added": Threat(lambda d: write(d / ".github/x"), ADDED, "'.github/x'"),
    "terminal codes in a name": Threat(lambda d: write(d / "a\n\x1b[2J"), ADDED, r"'a\n\x1b[2J'"),
    "name that is no text": Threat(lambda d: (d / os.fsdecode(b"\xff")).touch(), ADDED, r"'\udcff'"),
    "file removed": Threat(lambda d: (d / "report.md").unlink(), REMOVED, "report.md"),
    "manifest removed": Threat(lambda d: (d / "mlopt.json").unlink(), REMOVED, "mlopt.json"),
    "signature removed": Threat(lambda d: (d / "model.sig").unlink(), "the artifact is not signed", "mlopt sign"),
    "file renamed": Threat(lambda d: (d / "report.md").rename(d / "r.md"), REMOVED, "report.md"),
    "renamed, same root digest": Threat(lambda d: (d / "report.md").rename(d / "report.mdx"), ADDED, "report.mdx"),
    "other case": Threat(lambda d: (d / "report.md").rename(d / "Report.md"), ADDED, "Report.md"),
    "two files swapped": Threat(lambda d: swap(d / "report.md", d / "model.onnx"), CHANGED, "model.onnx"),
    "symbolic link": Threat(lambda d: as_symlink(d / "model.onnx"), "it is a symbolic link", "model.onnx"),
    "symbolic link added": Threat(lambda d: (d / "link").symlink_to("/etc/passwd"), ADDED, "link"),
    "folder is a symbolic link": Threat(lambda d: as_symlink(d / "raw"), REMOVED, "raw/final.json"),
    "hard link": Threat(lambda d: os.link(d / "model.onnx", d.parent / "other"), "2 names (hard links)", "model.onnx"),
    "named pipe": Threat(lambda d: as_fifo(d / "model.onnx"), NO_PLAIN_FILE, "model.onnx"),
    "named pipe added": Threat(lambda d: as_fifo(d / "pipe"), ADDED, "pipe"),
    "socket": Threat(lambda d: as_socket(d / "model.onnx"), "the file cannot be trusted", "model.onnx"),
    "file is a folder": Threat(lambda d: as_directory(d / "report.md"), ADDED, "report.md/x"),
    "file is an empty folder": Threat(lambda d: as_empty_directory(d / "report.md"), "is empty", "'report.md/'"),
    "empty folder added": Threat(lambda d: (d / "empty").mkdir(), "is empty", "'empty/'"),
    "empty folder, deep down": Threat(lambda d: deep_nest(d, 100), "is empty", "'d/d/d/"),
    "signature is a folder": Threat(lambda d: as_directory(d / "model.sig"), "the artifact is not signed", "digits"),
    "signature is a pipe": Threat(lambda d: as_fifo(d / "model.sig"), NO_PLAIN_FILE, "model.sig"),
    "signature is a link": Threat(lambda d: as_symlink(d / "model.sig"), "it is a symbolic link", "model.sig"),
    "signature of 1 GB": Threat(lambda d: as_gigabyte(d / "model.sig"), "the file is too large", "model.sig"),
    "claims are a folder": Threat(lambda d: as_directory(d / "claims.jsonl"), ADDED, "claims.jsonl/x"),
    "claims are an empty folder": Threat(lambda d: (d / "claims.jsonl").mkdir(), "is empty", "'claims.jsonl/'"),
    "claims are a pipe": Threat(lambda d: as_fifo(d / "claims.jsonl"), NO_PLAIN_FILE, "claims.jsonl"),
    "claims are a link": Threat(
        lambda d: (d / "claims.jsonl").symlink_to("model.sig"), "it is a symbolic link", "claims.jsonl"),
    "claims of 1 GB": Threat(lambda d: as_gigabyte(d / "claims.jsonl"), "the file is too large", "claims.jsonl"),
}  # fmt: skip

SIGNERS = {
    "another key, and its hint": Threat(
        lambda d: sign(d, KeySigner(ec.generate_private_key(ec.SECP256R1()))), "signed by an unknown key", "model.sig"),
    "another key, without a hint": Threat(signed_by_other(None), INVALID, "model.sig"),
    "another key, an empty hint": Threat(signed_by_other(""), INVALID, "model.sig"),
    "another key, the trusted key's hint": Threat(signed_by_other("own"), INVALID, "model.sig"),
    "terminal codes as a hint": Threat(signed_by_other("\x1b[2J"), "an unknown key", r"'\x1b[2J'"),
    "signature of another artifact by the same key": Threat(signature_of_another, CHANGED, "model.onnx"),
    "older than asked for": Threat(lambda d: None, "older than what is asked for", "version 1", ["--min-version", "2"]),
    "another name than asked for": Threat(
        lambda d: None, "another one than what is asked for", "name 'digits'", ["--name", "letters"]),
    "no claim of the kind asked for": Threat(
        lambda d: None, "the trusted signer claims no provenance", "claims.jsonl",
        ["--require-predicate", "provenance"]),
    "such a claim by somebody else": Threat(
        claim_by_another, "the trusted signer claims no provenance", claims.PREDICATES["provenance"],
        ["--require-predicate", "provenance"]),
    "claim about another artifact": Threat(claim_of_another, "the claim is about another artifact", "claims.jsonl:1"),
    "claims are no JSON": Threat(claim_lines(b"{\n"), NO_JSON, "claims.jsonl:1"),
    "claims nested deeply": Threat(claim_lines(DEEP), NO_JSON, "claims.jsonl:1"),
    "claims are empty lines": Threat(claim_lines(b"\n\n"), NO_JSON, "claims.jsonl:1"),
    "claims without end": Threat(claim_lines(b"{}\n" * 1001), "too many claims", "claims.jsonl"),
}  # fmt: skip

BUNDLES = {
    "signature file empty": Threat(signature_bytes(b""), NO_JSON, "model.sig"),
    "not JSON": Threat(signature_bytes(b"{"), NO_JSON, "model.sig"),
    "not UTF-8": Threat(signature_bytes(b'{"\xff": 1}'), NO_JSON, "model.sig"),
    "byte order mark": Threat(signature_bytes(b"\xef\xbb\xbf{}"), NO_JSON, "model.sig"),
    "a list": Threat(signature_bytes(b"[]"), "not a JSON object", "model.sig"),
    "nested deeply": Threat(signature_bytes(DEEP), NO_JSON, "model.sig"),
    "nested deeply in a known place": Threat(
        signature_bytes(b'{"mediaType":' + b"[" * 900 + b"]" * 900 + b"}"), MALFORMED, "recursion limit"),
    "a key twice": Threat(signature_bytes(b'{"a": 1, "a": 2}'), NO_JSON, "a key occurs twice"),
    "a huge integer": Threat(signature_bytes(b'{"a": ' + b"1" * 10_000 + b"}"), NO_JSON, "limit"),
    "a huge float": Threat(signature_bytes(b'{"a": 1e999}'), NO_JSON, "too large a number"),
    "not a number": Threat(signature_bytes(b'{"a": NaN}'), NO_JSON, "NaN"),
    "no signature": Threat(in_bundle(lambda b: b["dsseEnvelope"]["signatures"].clear()), MALFORMED, "signatures"),
    "two signatures": Threat(
        in_bundle(lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2)),
        MALFORMED, "signatures"),
    "other media type": Threat(in_bundle(lambda b: b.update(mediaType="application/json")), MALFORMED, "mediaType"),
    "other payload type": Threat(
        in_bundle(lambda b: b["dsseEnvelope"].update(payloadType="text/plain")), MALFORMED, "payloadType"),
    "no envelope": Threat(in_bundle(lambda b: b.pop("dsseEnvelope")), MALFORMED, "dsseEnvelope"),
    "payload is no base64": Threat(in_bundle(lambda b: b["dsseEnvelope"].update(payload="%%%")), MALFORMED, "base64"),
    "payload is base64 on two lines": Threat(
        in_bundle(lambda b: b["dsseEnvelope"].update(payload=b["dsseEnvelope"]["payload"][:10] + "\n"
                                                     + b["dsseEnvelope"]["payload"][10:])), MALFORMED, "base64"),
    "payload is not ASCII": Threat(in_bundle(lambda b: b["dsseEnvelope"].update(payload="é")), MALFORMED, "base64"),
    "payload cut short": Threat(in_bundle(lambda b: b["dsseEnvelope"].update(payload="aGk=")), INVALID, "model.sig"),
    "signature is no base64": Threat(
        in_bundle(lambda b: b["dsseEnvelope"].update(signatures=[{"sig": "%"}])), MALFORMED, "base64"),
    "signature is no DER": Threat(in_signature(lambda der: b"no DER"), INVALID, "model.sig"),
    "signature is empty": Threat(in_signature(lambda der: b""), INVALID, "model.sig"),
    "signature cut short": Threat(in_signature(lambda der: der[:-1]), INVALID, "model.sig"),
    "signature with more behind it": Threat(in_signature(lambda der: der + b"\0"), INVALID, "model.sig"),
    "signature of zeros": Threat(in_signature(lambda der: bytes.fromhex("3006020100020100")), INVALID, "model.sig"),
    "signature of negative numbers": Threat(
        in_signature(lambda der: bytes.fromhex("30060201ff0201ff")), INVALID, "sig"),
    "signature of huge numbers": Threat(
        in_signature(lambda der: b"\x30\x82\x04\x08" + (b"\x02\x82\x02\x00" + b"\x7f" * 512) * 2),
        INVALID, "model.sig"),
    "signature of unbounded length": Threat(
        in_signature(lambda der: b"\x30\x84\xff\xff\xff\xff"), INVALID, "model.sig"),
    "names swapped under one root digest": Threat(unsigned_statement(swap_names), INVALID, "model.sig"),
    "digest exchanged": Threat(
        unsigned_statement(lambda s: resources(s)[0].update(digest="0" * 64)), INVALID, "model.sig"),
}  # fmt: skip

VALIDLY_SIGNED = {
    "names swapped under one root digest, signed": Threat(signed_statement(swap_names), CHANGED, "mlopt.json"),
    "another predicate": Threat(
        signed_statement(lambda s: s.update(predicateType="https://slsa.dev/provenance/v1")), STRANGE, "predicateType"),
    "a claim in the place of the signature": Threat(claim_as_signature, STRANGE, "subject"),
    "another statement": Threat(
        signed_statement(lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
        STRANGE, "_type"),
    "two subjects": Threat(signed_statement(lambda s: s.update(subject=s["subject"] * 2)), STRANGE, "subject"),
    "no files": Threat(signed_statement(lambda s: s["predicate"].update(resources=[])), STRANGE, "resources"),
    "a file left out": Threat(signed_statement(lambda s: resources(s).pop()), ADDED, "report.md"),
    "a file twice": Threat(
        signed_statement(lambda s: resources(s).append(resources(s)[0])), "names a file twice", "model.sig"),
    "another root digest": Threat(
        signed_statement(lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)), "the root digest is not", "sig"),
    "short digest": Threat(signed_statement(lambda s: resources(s)[0].update(digest="00")), STRANGE, "digest"),
    "other algorithm": Threat(
        signed_statement(lambda s: resources(s)[0].update(algorithm="md5")), STRANGE, "algorithm"),
    "shards": Threat(
        signed_statement(lambda s: s["predicate"]["serialization"].update(method="shards")), STRANGE, "method"),
    "links allowed": Threat(
        signed_statement(lambda s: s["predicate"]["serialization"].update(allow_symlinks=True)),
        STRANGE, "allow_symlinks"),
    "path to above": Threat(signed_name("../x"), UNSAFE, "'../x'"),
    "path to above, later": Threat(signed_name("raw/../../x"), UNSAFE, "'raw/../../x'"),
    "absolute path": Threat(signed_name("/x"), UNSAFE, "'/x'"),
    "path with a dot": Threat(signed_name("a/./b"), UNSAFE, "'a/./b'"),
    "path with two slashes": Threat(signed_name("a//b"), UNSAFE, "'a//b'"),
    "path with a backslash": Threat(signed_name("..\\x"), UNSAFE, r"'..\\x'"),
    "path with a drive": Threat(signed_name("C:x"), UNSAFE, "'C:x'"),
    "hidden path": Threat(signed_name(".git/x"), UNSAFE, "'.git/x'"),
    "empty path": Threat(signed_name(""), UNSAFE, "''"),
    "path with NUL": Threat(signed_name("a\0b"), UNSAFE, r"'a\x00b'"),
    "path with terminal codes": Threat(signed_name("\x1b[2J"), UNSAFE, r"'\x1b[2J'"),
    "very long path": Threat(signed_name("a/" * 600 + "a"), UNSAFE, "'a/a/a/"),
    "very long part of a path": Threat(signed_name("a" * 300), UNSAFE, "'aaaa"),
    "path that is not ASCII": Threat(signed_name("modèle"), UNSAFE, r"'mod\xe8le'"),
    "path that turns letters round": Threat(signed_name("a\u202eb"), UNSAFE, r"'a\u202eb'"),
    "signature covers itself": Threat(signed_name("model.sig"), REMOVED, "model.sig"),
    "payload is no JSON": Threat(signed_payload(b"{"), NO_JSON, "model.sig"),
    "payload is empty": Threat(signed_payload(b""), NO_JSON, "model.sig"),
    "payload nested deeply": Threat(signed_payload(DEEP), NO_JSON, "model.sig"),
    "payload with a huge integer": Threat(signed_payload(b'{"a": ' + b"9" * 10_000 + b"}"), NO_JSON, "model.sig"),
    "manifest is no JSON": Threat(signed_file("mlopt.json", b"{"), NO_JSON, "mlopt.json"),
    "manifest nested deeply": Threat(signed_file("mlopt.json", DEEP), NO_JSON, "mlopt.json"),
    "manifest of another schema": Threat(signed_file("mlopt.json", b"{}"), "not the manifest", "mlopt.json"),
    "manifest too large": Threat(signed_file("mlopt.json", bytes(2 << 20)), "the file is too large", "mlopt.json"),
    "version of a huge integer": Threat(in_manifest(lambda m: m.update(version=2**64)), "malformed", "'version'"),
    "version is no integer": Threat(in_manifest(lambda m: m.update(version=True)), "malformed", "'version'"),
    "name with terminal codes": Threat(in_manifest(lambda m: m.update(name="\x1b[2J")), "malformed", "'name'"),
    "half a character as a name": Threat(in_manifest(lambda m: m.update(name="\ud800")), "malformed", "Invalid JSON"),
    "unknown key in the manifest": Threat(in_manifest(lambda m: m.update(more=1)), "malformed", "'more'"),
    "model elsewhere": Threat(in_manifest(lambda m: m["model"].update(file="../model.onnx")), "malformed", "files"),
    "manifest lists less": Threat(
        in_manifest(lambda m: m["files"].pop("report.md")), "a file is not listed", "report.md"),
    "report is no JSON": Threat(signed_file("report.json", b"["), NO_JSON, "report.json"),
    "report says another verdict": Threat(
        signed_file("report.json", b'{"verdict": "fail"}'), "disagree about the gates", "report.json"),
    "report says what its gates do not": Threat(
        signed_file("report.json", b'{"verdict": "pass", "gates": [{"verdict": "fail"}]}'),
        "the report's verdict is not that of its gates", "report.json"),
    "report with strange verdicts": Threat(
        signed_file("report.json", b'{"verdict": [], "gates": [{"verdict": {}}, 1]}'),
        "the report's verdict is not that of its gates", "report.json"),
}  # fmt: skip

THREATS = FILES | SIGNERS | BUNDLES | VALIDLY_SIGNED


def test_no_row_hides_another() -> None:
    assert len(THREATS) == len(FILES) + len(SIGNERS) + len(BUNDLES) + len(VALIDLY_SIGNED)


@pytest.mark.heavy
@pytest.mark.parametrize("copied", [False, True], ids=["in place", "copied"])
@pytest.mark.parametrize("case", THREATS)
def test_threat(signed: Path, case: str, copied: bool, capsys: pytest.CaptureFixture[str]) -> None:
    threat = THREATS[case]
    threat.do(signed)
    before = sorted(signed.parent.iterdir())
    code = run(["verify", str(signed), *threat.args, *(["--copy-to", f"{signed}.copy"] if copied else [])])
    printed = capsys.readouterr()
    assert code == ExitCode.INTEGRITY, printed.err
    assert threat.says in printed.err
    assert threat.names in printed.err
    assert printed.out == ""
    assert all(character.isprintable() or character == "\n" for character in printed.err)
    assert sorted(signed.parent.iterdir()) == before
