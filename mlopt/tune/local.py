"""The executor of one machine: calls are done here, one after the other, so nothing is measured while anything runs."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from typing import Self

from mlopt.core.errors import MloptError
from mlopt.tune.executor import Call, Done, Laboratory

_AT_ONCE = 4


class LocalExecutor:
    """Does calls in a laboratory of this process, which it does not close."""

    slots = _AT_ONCE
    """So many are raced together."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the laboratory to whoever opened it."""

    def run(self, calls: Sequence[Call]) -> Iterator[Done]:
        """Yield what becomes of each call."""
        for call in calls:
            began = time.time()
            value, error = None, None
            try:
                value = getattr(self._laboratory, call.method)(*call.args)
            except MloptError as raised:
                error = raised.brief
            yield Done(call, value, error, node=platform.node(), began=began, ended=time.time())
