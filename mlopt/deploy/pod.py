"""What the settings of all models come to for one pod, and how many of them there are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlopt.deploy.derived import DRAIN_S, Derived, ServingSettings


@dataclass(frozen=True)
class Pod:
    """Resources, times and numbers; of several models the sum, or what the most demanding one takes."""

    cores: Derived
    memory_mib: Derived
    memory_limit_mib: Derived
    replicas: Derived
    most_replicas: Derived
    rate: Derived
    """Samples per second and replica that autoscaling keeps to."""
    start_s: Derived
    grace_s: Derived
    drain_s: Derived
    longest_ms: Derived
    """What one request may take."""
    end_s: Derived
    """How long an engine may take from SIGTERM on; it comes after the draining."""


def pod_of(settings: Sequence[ServingSettings], base_mib: int, *, in_turn: bool = False) -> Pod:
    """Return the pod that serves all these models on an engine that takes ``base_mib`` itself.

    ``in_turn``: a request may go through all of them, one after the other.
    """
    memory = sum(each.memory_mib.value for each in settings)
    limit = sum(each.memory_limit_mib.value for each in settings)
    waited = _longest(settings, in_turn)
    needed = max(settings, key=lambda each: each.replicas.value)
    slowest = min(settings, key=lambda each: each.rate_per_replica.value)
    return Pod(
        cores=_cores(settings),
        memory_mib=Derived(memory + base_mib, f"{_joined(settings)}; {base_mib} MiB of the engine"),
        memory_limit_mib=Derived(limit + base_mib, "; ".join(each.memory_limit_mib.why for each in settings)),
        replicas=needed.replicas,
        most_replicas=needed.most_replicas,
        rate=slowest.rate_per_replica,
        start_s=max((each.start_s for each in settings), key=lambda each: each.value),
        grace_s=Derived(
            Derived(DRAIN_S + waited.value / 1000 + 10, "").whole,
            f"{DRAIN_S} s of draining, the longest request ({waited} ms) and 10 s to end",
        ),
        drain_s=Derived(DRAIN_S, "so that no new request comes when it ends: endpoints take a moment to be removed"),
        longest_ms=waited,
        end_s=Derived(
            Derived(waited.value / 1000 + 5, "").whole,
            f"the longest request ({waited} ms) and 5 s: after that and the draining the grace period has 5 s left",
        ),
    )  # fmt: skip


def _longest(settings: Sequence[ServingSettings], in_turn: bool) -> Derived:
    timeouts = [each.timeout_ms for each in settings]
    if not in_turn:
        return max(timeouts, key=lambda each: each.value)
    told = " + ".join(map(str, timeouts))
    return Derived(sum(each.value for each in timeouts), f"one model after the other: {told} ms")


def _cores(settings: Sequence[ServingSettings]) -> Derived:
    told = " + ".join(f"{each.threads} x {each.instances}" for each in settings)
    return Derived(sum(each.threads.value * each.instances.value for each in settings), f"threads x instances: {told}")


def _joined(settings: Sequence[ServingSettings]) -> str:
    return "; ".join(each.memory_mib.why for each in settings)
