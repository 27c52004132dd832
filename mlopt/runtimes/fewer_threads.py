"""Threads are worth a try in every runtime: a small model is slowed by those that it has too many of."""

from __future__ import annotations


def fewer_threads(threads: int) -> tuple[int, ...]:
    """Return the numbers of threads to try: half (a thread a core, where each core runs two), one, all but one."""
    return tuple(dict.fromkeys(each for each in (threads // 2, 1, threads - 1) if 0 < each < threads))
