"""Where artifacts may come from that the admin API is told to load: below a few folders, wherever links lead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlopt.serve.faults import AnswerError, bad


def confined(path: object, repositories: Sequence[Path]) -> Path:
    """Return the real place of an artifact below one of the repositories, to which a relative path is relative.

    Links are followed first. Raises ``AnswerError``: 400 for what is no path, 403 for a place outside.
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise bad("`artifact` is a path on the server's machine")
    if not repositories:
        raise AnswerError(403, "the server was started without --repository, and loads nothing more")
    for repository in repositories:
        root = Path(os.path.realpath(repository))
        real = Path(os.path.realpath(root / path))
        if real != root and real.is_relative_to(root) and real.is_dir():
            return real
    raise AnswerError(403, "there is no such artifact inside a repository of the server", path[:200])
