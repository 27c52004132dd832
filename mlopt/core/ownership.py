"""Whose a file is. What another user owns, or can change, decides nothing: no key, no trust, no cached result."""

from __future__ import annotations

import os
import stat


def distrusted(status: os.stat_result) -> str | None:
    """Return in words why another user may have had a hand in a file or folder; None if only this user and root can.

    A group that may write counts as others, since nobody knows who is in it.
    """
    owners = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        owners.add(int(os.environ["SUDO_UID"]))
    if status.st_uid not in owners:
        return f"it belongs to another user (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None
