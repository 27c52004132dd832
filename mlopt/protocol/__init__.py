"""The Open Inference Protocol, version 2, over HTTP: what a server and whoever asks it say to each other.

Pure: bytes and arrays, no network. ``tensors.py`` is one tensor in JSON or in bytes, ``messages.py`` a request or an
answer of several. Source: https://github.com/kserve/open-inference-protocol, and its extension for binary data.
"""
