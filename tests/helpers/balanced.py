"""Clients behind a load balancer with two replicas, and what became of each of their requests.

They keep their connections. A request that a replica does not take (connection refused, 503) goes to the next one, and
the replica gets no more. One that was sent, and has no right answer, is lost.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

import deployed
import numpy as np

REQUESTS, CLIENTS = 500, 16
_NOT_TAKEN = "not taken"


@dataclass(frozen=True)
class Form:
    """How ``deployed.slow`` is asked for one row on a server, and its answer read: it gives back what it got."""

    path: str
    listed: bool = False
    """BentoML takes and gives lists."""

    def body(self, number: int) -> bytes:
        asked = deployed.infer_body({"x": np.full((1, 4), number, np.float32)})
        return json.dumps({"requests": [asked]} if self.listed else asked).encode()

    def fits(self, text: bytes, number: int) -> bool:
        told = json.loads(text)
        answer = told[0] if self.listed else told
        return "outputs" in answer and bool((deployed.outputs_of(answer)["y"] == number).all())


class Balancer:
    """Sends 500 requests over 16 connections to the first of some ports that is still in rotation."""

    def __init__(self, form: Form, *ports: int) -> None:
        self.found: list[str] = []
        """Of each request ``answered by PORT``, or how it was lost."""
        self.refused: Counter[int] = Counter()
        """How many requests each port did not take."""
        self._form = form
        self._rotation = list(ports)
        self._flight: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._numbers = iter(range(REQUESTS))
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def remove(self, port: int) -> None:
        """Send nothing more there; connections to it are closed when what is under way on them is answered."""
        with self._lock:
            self._rotation = [each for each in self._rotation if each != port]

    def in_flight(self, port: int) -> int:
        with self._lock:
            return self._flight[port]

    def wait_for(self, count: int, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while len(self.found) < count:
            assert time.monotonic() < until, f"{len(self.found)} of {count} in {seconds:g} s: {Counter(self.found)}"
            time.sleep(0.005)

    def join(self) -> Counter[str]:
        """Return what became of the requests, each outcome with its number."""
        self.wait_for(REQUESTS, 180)
        for thread in self._threads:
            thread.join(10)
        return Counter(self.found)

    def _client(self) -> None:
        kept: dict[int, HTTPConnection] = {}
        for number in self._numbers:
            self.found.append(self._told(kept, number))
        for connection in kept.values():
            connection.close()

    def _told(self, kept: dict[int, HTTPConnection], number: int) -> str:
        while (port := self._chosen(kept)) is not None:
            told = self._asked(kept.setdefault(port, HTTPConnection("127.0.0.1", port, timeout=60)), port, number)
            with self._lock:
                self._flight[port] -= 1
                self.refused[port] += told == _NOT_TAKEN
            if told != _NOT_TAKEN:
                return told
            self.remove(port)
        return "lost: nobody takes it"

    def _chosen(self, kept: dict[int, HTTPConnection]) -> int | None:
        with self._lock:
            rotation = list(self._rotation)
            if rotation:
                self._flight[rotation[0]] += 1
        for port in set(kept) - set(rotation):
            kept.pop(port).close()
        return rotation[0] if rotation else None

    def _asked(self, connection: HTTPConnection, port: int, number: int) -> str:
        try:
            if connection.sock is None:
                connection.connect()
        except ConnectionRefusedError:
            return _NOT_TAKEN
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", self._form.path, self._form.body(number), headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            return f"lost: {type(error).__name__} of {port}"
        if response.status == 503:
            return _NOT_TAKEN
        right = response.status == 200 and self._form.fits(text, number)
        return f"answered by {port}" if right else f"lost: {response.status} {text[:200]!r}"
