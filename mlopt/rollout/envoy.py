"""Envoy as a target: two clusters, whose weights and mirrors are runtime keys that its admin interface changes.

Envoy knows no digests. Each host of a cluster is asked itself which artifact it serves (the model's metadata), and a
cluster is that digest only if all that answer say the same; one of which none answers keeps the digest that it had, so
that there is a way back from it. So ``load`` brings nothing up: it holds what somebody has
brought up behind the cluster without traffic against the digest that was verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from mlopt.artifact.files import shown
from mlopt.core.errors import IntegrityError, UserError
from mlopt.rollout.calls import RefusedError, UnreachableError, accepted, call
from mlopt.rollout.envoy_config import CLUSTERS, MIRROR_KEY, WEIGHT_KEY
from mlopt.rollout.metrics_text import ENVOY, read
from mlopt.rollout.observed import Observed, together
from mlopt.rollout.traffic import HeldVersion, Serving, TrafficSplit

_BACKEND_LIMIT_S = 5.0
UNKNOWN = "0" * 64
"""In place of the digest of a cluster none of whose hosts ever answered."""
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class _Cluster:
    name: str
    digest: str
    version: int | None
    weight: int
    mirror: int
    alive: bool


class EnvoyTarget:
    """One model behind an Envoy that was configured by ``mlopt rollout envoy-config``."""

    def __init__(self, url: str, model: str) -> None:
        self._url, self._model = url.rstrip("/"), model
        self._last: dict[str, tuple[str, int | None]] = {}

    @property
    def name(self) -> str:
        """The kind, and the address of the admin interface."""
        return f"envoy {self._url}"

    @property
    def model(self) -> str:
        """The model's name in the addresses of the backends."""
        return self._model

    def serving(self) -> Serving:
        """Return the clusters that have hosts, as versions; see ``RolloutTarget``."""
        found: dict[str, HeldVersion] = {}
        for each in self._clusters():
            one = found.get(each.digest)
            weight, mirror = (one.weight, one.shadow) if one else (0, 0)
            found[each.digest] = HeldVersion(
                each.digest, "ready" if each.alive or (one and one.state == "ready") else "failed",
                min(weight + each.weight, 100), max(mirror, each.mirror), each.version,
            )  # fmt: skip
        return Serving(tuple(found.values()))

    def load(self, artifact: str | None, digest: str, *, older: bool = False) -> None:
        """Refuse a digest that no cluster serves; see ``RolloutTarget``."""
        del artifact, older
        known = self._clusters()
        if digest not in {each.digest for each in known if each.alive}:
            got = ", ".join(f"{each.name}: {each.digest[:12]}" for each in known)
            raise IntegrityError(
                "no cluster of the proxy serves this digest", where=self._url, got=got or "no hosts", expected=digest,
                fix="start the artifact's server behind the cluster that has no traffic, and try again",
            )  # fmt: skip

    def shift(self, traffic: TrafficSplit) -> None:
        """Set all weights and mirrors by one change of the runtime; see ``RolloutTarget``."""
        known = self._clusters()
        alive = {each.digest for each in known if each.alive}
        missing = {digest for digest, share in traffic.weights.items() if share} - alive
        if missing:
            raise UserError("no cluster of the proxy serves this digest", where=self._url, got=min(missing))
        values = dict.fromkeys([f"{WEIGHT_KEY}.{name}" for name in CLUSTERS], 0)
        values |= dict.fromkeys([f"{MIRROR_KEY}.{name}" for name in CLUSTERS], 0)
        for digest in {each.digest for each in known}:
            name = self._chosen(known, digest)
            values[f"{WEIGHT_KEY}.{name}"] = traffic.weights.get(digest, 0)
            values[f"{MIRROR_KEY}.{name}"] = traffic.shadow.get(digest, 0)
        accepted(call("POST", f"{self._url}/runtime_modify?{urlencode(values)}"), 200)

    def unload(self, digest: str) -> None:
        """Do nothing: whoever started a backend ends it, once it has no traffic; see ``RolloutTarget``."""
        if any(each.weight for each in self._clusters() if each.digest == digest):
            raise UserError("the version has traffic", where=self._url, got=digest)

    def address(self, digest: str) -> str:
        """Return that of a host of its cluster, past the proxy; see ``RolloutTarget``."""
        known = [each for each in self._clusters() if each.digest == digest]
        if not known:
            raise UserError("no cluster of the proxy serves this digest", where=self._url, got=digest)
        host = self._hosts()[self._chosen(tuple(known), digest)][0]
        return f"http://{host}/v2/models/{quote(self._model, safe='')}"

    def observed(self) -> Mapping[str, Observed]:
        """Read the clusters' counters, failed tries among them; see ``RolloutTarget``."""
        text = accepted(call("GET", f"{self._url}/stats/prometheus?filter=upstream_rq"), 200).body
        counted = read(text.decode(errors="replace"), ENVOY)
        by_digest: dict[str, list[Observed]] = {}
        for each in self._clusters():
            by_digest.setdefault(each.digest, []).append(counted.get(each.name, Observed()))
        return {digest: together(some) for digest, some in by_digest.items()}

    @staticmethod
    def _chosen(known: tuple[_Cluster, ...], digest: str) -> str:
        """Return the one cluster that a digest is reached by, where both serve it: the one with traffic."""
        return max((each for each in known if each.digest == digest), key=lambda each: each.weight).name

    def _clusters(self) -> tuple[_Cluster, ...]:
        keys = self._runtime()
        hosts = self._hosts()
        found = []
        for name in CLUSTERS:
            if not hosts.get(name):
                continue
            said = self._said(name, hosts[name])
            self._last[name] = digest, version = said or self._last.get(name, (UNKNOWN, None))
            weight, mirror = keys.get(f"{WEIGHT_KEY}.{name}"), keys.get(f"{MIRROR_KEY}.{name}", 0)
            share = 100 * (name == CLUSTERS[0]) if weight is None else weight
            found.append(_Cluster(name, digest, version, share, mirror, alive=said is not None))
        return tuple(found)

    def _runtime(self) -> dict[str, int]:
        entries = accepted(call("GET", f"{self._url}/runtime?format=json"), 200).json().get("entries")
        values = entries.items() if isinstance(entries, dict) else ()
        return {key: int(value["final_value"]) for key, value in values if _is_number(value)}

    def _hosts(self) -> dict[str, list[str]]:
        """Return the hosts of each cluster, as HOST:PORT."""
        found = accepted(call("GET", f"{self._url}/clusters?format=json"), 200).json().get("cluster_statuses")
        try:
            return {each["name"]: list(_addresses(each)) for each in found or ()}
        except (KeyError, TypeError) as error:
            raise RefusedError("the proxy's answer is malformed", where=f"{self._url}/clusters") from error

    def _said(self, cluster: str, hosts: list[str]) -> tuple[str, int | None] | None:
        """Ask each host what it serves; None if none answers, ``UserError`` where they do not agree."""
        said = {}
        for host in hosts:
            with suppress(UnreachableError):
                said[host] = self._asked(host)
        if len(set(said.values())) > 1:
            got = ", ".join(f"{host}: {digest[:12]}" for host, (digest, _) in said.items())
            raise UserError(
                f"the hosts of the cluster {cluster} serve different artifacts", where=self._url, got=got,
                fix="bring all of them to one, while the cluster has no traffic",
            )  # fmt: skip
        return next(iter(said.values()), None)

    def _asked(self, host: str) -> tuple[str, int | None]:
        url = f"http://{host}/v2/models/{quote(self._model, safe='')}"
        parameters = accepted(call("GET", url, limit_s=_BACKEND_LIMIT_S, anywhere=True), 200).json().get("parameters")
        digest = parameters.get("digest") if isinstance(parameters, dict) else None
        if not isinstance(digest, str) or len(digest) != 64 or not _HEX.issuperset(digest):
            raise UserError("a host does not say which artifact it serves", where=url, got=shown(digest),
                            expected="parameters.digest in the model's metadata")  # fmt: skip
        version = str(parameters.get("version")) if isinstance(parameters, dict) else ""
        return digest, int(version) if version.isdecimal() else None


def _is_number(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("final_value")).isdecimal()


def _addresses(status: Mapping[str, Any]) -> Iterator[str]:
    for host in status.get("host_statuses", ()):
        address = host["address"]["socket_address"]
        place = address["address"]
        yield f"{f'[{place}]' if ':' in place else place}:{address['port_value']}"
