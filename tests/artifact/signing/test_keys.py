"""Keys are private, made once, and refused with one clear cause."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import subprocess
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mlopt.artifact.signing import keys
from mlopt.core.errors import OutputError

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


SECRET = b"correct-Ooph4ahz"


def passphrase_file(folder: Path, secret: bytes) -> Path:
    (folder / "passphrase").write_bytes(secret + b"\n")
    (folder / "passphrase").chmod(0o600)
    return folder / "passphrase"


def save(path: Path, key: PrivateKey) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    path.with_suffix(".pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_the_users_key_is_made_once_and_is_private() -> None:
    first = keys.user_key()
    assert first.created
    assert first.path == Path(os.environ["MLOPT_CONFIG"]) / "keys" / "mlopt.key"
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert first.path.parent.stat().st_mode & 0o777 == 0o700
    assert isinstance(first.private.curve, ec.SECP256R1)
    again = keys.user_key()
    assert not again.created
    assert again.private.private_numbers() == first.private.private_numbers()
    assert keys.user_public() == first.private.public_key()


def test_a_lost_public_half_comes_back() -> None:
    own = keys.user_key()
    keys.public_path(own.path).unlink()
    keys.user_key()
    assert keys.user_public() == own.private.public_key()


def test_the_fingerprint_is_the_sha256_of_the_pub_file(tmp_path: Path) -> None:
    public = keys.create_key(tmp_path / "ci.key")
    assert public == tmp_path / "ci.pub"
    assert keys.fingerprint(keys.load_public(public)) == hashlib.sha256(public.read_bytes()).hexdigest()


def test_an_existing_key_is_replaced_by_force_only(tmp_path: Path) -> None:
    public = keys.create_key(tmp_path / "ci.key")
    before = public.read_bytes()
    with pytest.raises(FileExistsError):
        keys.create_key(tmp_path / "ci.key")
    assert public.read_bytes() == before
    keys.create_key(tmp_path / "ci.key", force=True)
    assert public.read_bytes() != before
    assert keys.load_private(tmp_path / "ci.key").public_key() == keys.load_public(public)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ci.key", "ci.pub"]


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_every_curve_of_the_format_loads(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    path = save(tmp_path / "a.key", ec.generate_private_key(curve))
    assert keys.load_private(path).public_key() == keys.load_public(tmp_path / "a.pub")


@pytest.mark.parametrize(
    ("key", "got"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ],
)
def test_other_types_and_curves_are_refused(tmp_path: Path, key: PrivateKey, got: str) -> None:
    path = save(tmp_path / "a.key", key)
    for load, file in ((keys.load_private, path), (keys.load_public, tmp_path / "a.pub")):
        with pytest.raises(OutputError, match="the signature format does not know") as caught:
            load(file)
        assert got in str(caught.value)
        assert "mlopt keygen" in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    keys.create_key(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(OutputError, match=rf"others can read the private key \(mode {mode:04o}\)") as caught:
        keys.load_private(tmp_path / "a.key")
    assert f"chmod 600 {tmp_path / 'a.key'}" in str(caught.value)


@pytest.mark.parametrize("curve", keys.CURVES)
def test_every_curve_can_be_made(tmp_path: Path, curve: str) -> None:
    public = keys.create_key(tmp_path / "a.key", curve=curve)
    assert keys.load_private(tmp_path / "a.key").curve.name == keys.CURVES[curve].name
    assert keys.load_public(public).curve.name == keys.CURVES[curve].name


@pytest.mark.parametrize("curve", keys.CURVES)
def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path: Path, curve: str) -> None:
    public = keys.create_key(tmp_path / "a.key", curve=curve, secret=SECRET)
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in (tmp_path / "a.key").read_bytes()
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    good = passphrase_file(tmp_path, SECRET)
    assert keys.load_private(tmp_path / "a.key", good).public_key() == keys.load_public(public)
    wrong = passphrase_file(tmp_path, b"wrong-Gai7ahfo")
    with pytest.raises(OutputError, match="the passphrase does not open the key") as caught:
        keys.load_private(tmp_path / "a.key", wrong)
    assert str(tmp_path / "a.key") in str(caught.value)
    assert "Gai7ahfo" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.process
def test_openssl_opens_an_encrypted_key(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    public = keys.create_key(tmp_path / "a.key", secret=SECRET)
    given = f"file:{passphrase_file(tmp_path, SECRET)}"
    command = ["openssl", "pkey", "-in", str(tmp_path / "a.key"), "-passin", given, "-pubout"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == public.read_bytes()


@pytest.mark.process
@pytest.mark.parametrize("form", ["pkcs8", "ec"])
def test_a_key_that_openssl_encrypted_opens(tmp_path: Path, form: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    plain = save(tmp_path / "plain.key", ec.generate_private_key(ec.SECP256R1()))
    given, out = f"file:{passphrase_file(tmp_path, SECRET)}", tmp_path / "a.key"
    tool = ["pkcs8", "-topk8", "-v2", "aes-256-cbc"] if form == "pkcs8" else ["ec", "-aes256"]
    subprocess.run(["openssl", *tool, "-in", plain, "-out", out, "-passout", given], capture_output=True, check=True)
    out.chmod(0o600)
    assert b"ENCRYPTED" in out.read_bytes()
    opened = keys.load_private(out, tmp_path / "passphrase")
    assert opened.private_numbers() == keys.load_private(plain).private_numbers()


def test_a_passphrase_for_a_key_that_needs_none_is_refused(tmp_path: Path) -> None:
    keys.create_key(tmp_path / "a.key")
    with pytest.raises(OutputError, match="the key is not encrypted, and a passphrase was given") as caught:
        keys.load_private(tmp_path / "a.key", passphrase_file(tmp_path, SECRET))
    assert "leave out --passphrase-file" in str(caught.value)


def test_ones_own_key_may_be_encrypted(tmp_path: Path) -> None:
    given = passphrase_file(tmp_path, SECRET)
    with pytest.raises(OutputError, match="there is no key of your own yet") as caught:
        keys.user_key(given)
    assert "mlopt keygen --encrypt" in str(caught.value)
    assert not keys.user_key_path().exists()
    keys.create_key(keys.user_key_path(), secret=SECRET)
    own = keys.user_key(given)
    assert not own.created
    assert own.private.public_key() == keys.user_public()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(OutputError, match="no private key in PEM form"):
        keys.load_private(path)


def test_garbage_is_no_public_key(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_bytes(b"ssh-ed25519 AAAA")
    with pytest.raises(OutputError, match="no public key in PEM form"):
        keys.load_public(tmp_path / "a.pub")


def test_a_private_key_is_no_public_key(tmp_path: Path) -> None:
    keys.create_key(tmp_path / "a.key")
    with pytest.raises(OutputError, match="this is a private key") as caught:
        keys.load_public(tmp_path / "a.key")
    assert f"give {tmp_path / 'a.pub'}" in str(caught.value)


def test_missing_huge_and_special_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        keys.load_private(tmp_path / "none.key")
    (tmp_path / "huge.pub").write_bytes(bytes(100_000))
    with pytest.raises(OutputError, match="too large for a key"):
        keys.load_public(tmp_path / "huge.pub")
    os.mkfifo(tmp_path / "pipe.key")
    for path in (tmp_path / "pipe.key", tmp_path):
        with pytest.raises(OutputError, match="not a regular file"):
            keys.load_private(path)


def test_no_public_key_of_ones_own_says_what_to_do() -> None:
    with pytest.raises(OutputError, match="no key to check the signature with") as caught:
        keys.user_public()
    assert "--key PUB" in str(caught.value)


def test_a_key_cannot_be_made_below_a_file_or_named_pub(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the key could not be written"):
        keys.create_key(tmp_path / "file" / "a.key")
    with pytest.raises(OutputError, match=r"\.pub is for public keys"):
        keys.create_key(tmp_path / "a.pub")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_without_permission_is_refused(tmp_path: Path) -> None:
    keys.create_key(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0)
    with pytest.raises(OutputError, match="the key cannot be read: Permission denied"):
        keys.load_private(tmp_path / "a.key")


@pytest.mark.process
def test_processes_that_need_a_key_at_once_get_the_same_one() -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        prints = pool.map(_fingerprint_of_user_key, range(16))
    assert len(set(prints)) == 1


def _fingerprint_of_user_key(_index: int) -> str:
    return keys.fingerprint(keys.user_key().private.public_key())


@pytest.mark.process
def test_keys_made_by_openssl_work(tmp_path: Path) -> None:
    try:
        made = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
                              capture_output=True, check=True)  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    (tmp_path / "a.key").write_bytes(made.stdout)
    (tmp_path / "a.key").chmod(0o600)
    assert keys.load_private(tmp_path / "a.key").curve.name == "secp384r1"
