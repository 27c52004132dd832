"""What leaves the machine names packages as the world does, and no folders of its owner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopt.claims.naming import package_url, portable


@pytest.mark.parametrize(
    ("name", "version", "url"),
    [
        ("numpy", "2.4.6", "pkg:pypi/numpy@2.4.6"),
        ("torch", "2.13.0+cpu", "pkg:pypi/torch@2.13.0%2Bcpu"),
        ("ruamel.yaml_Clib", "1!0.2", "pkg:pypi/ruamel.yaml-clib@1%210.2"),
    ],
)
def test_packages_have_the_url_of_the_index(name: str, version: str, url: str) -> None:
    assert package_url(name, version) == url


def test_package_urls_are_those_of_the_reference_library() -> None:
    reference = pytest.importorskip("packageurl", reason="comes with cyclonedx-python-lib (extra dev)").PackageURL
    for name, version in (("numpy", "2.4.6"), ("torch", "2.13.0+cpu"), ("Ruamel.yaml_Clib", "1!0.2rc1")):
        assert package_url(name, version) == reference("pypi", None, name, version).to_string()


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("/home/ann/models/digits.onnx", "digits.onnx"),
        ("/home/ann/net.py:build", "net.py:build"),
        ("~/net.py:build", "net.py:build"),
        ("~ann/work/net.py", "net.py"),
        ("//home/ann/x.npz", "x.npz"),
        ("file:///home/ann/x.npz", "file:x.npz"),
        ("model.source=/home/ann/net.py:build", "model.source=net.py:build"),
        ("data.evaluation={source: /home/ann/x.npz, limit: 3}", "data.evaluation={source: x.npz, limit: 3}"),
        ("data.evaluation={source: '/home/ann/x.npz'}", "data.evaluation={source: 'x.npz'}"),
        ("what /home/ann/a.py and /srv/b.py say", "what a.py and b.py say"),
        ("/home/ann/data/", "data/"),
        ("./net.py:build", "./net.py:build"),
        ("../shared/net.py:build", "../shared/net.py:build"),
        ("models/digits.onnx", "models/digits.onnx"),
        ("https://example.org/models/digits.onnx", "https://example.org/models/digits.onnx"),
        ("1 / 2 and 3/4", "1 / 2 and 3/4"),
    ],
)
def test_absolute_paths_keep_their_last_part(text: str, cut: str) -> None:
    assert portable({"deep": [text, 1, None]}) == {"deep": [cut, 1, None]}


_PART = st.text("abcXYZ019_.-", min_size=1, max_size=8)


@given(st.lists(_PART, min_size=1, max_size=5), _PART, st.sampled_from(["", "key=", "{a: ", '"', "see: "]))
def test_no_folder_of_an_absolute_path_is_left(folders: list[str], name: str, before: str) -> None:
    assert portable(f"{before}/{'/'.join(folders)}/{name}") == before + name
