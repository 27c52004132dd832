"""What ``mlopt doctor --deployment`` finds of a machine: engines, tools, and whom it signs as and believes.

Nothing is started: packages are asked for by name, programs looked for on the PATH, secrets only missed or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from mlopt.core.check import Check, CheckGroup
from mlopt.core.errors import MloptError

if TYPE_CHECKING:
    from mlopt.cli.settings import ProjectSettings
    from mlopt.deploy.engine import ServingEngine

TOOLS: Mapping[str, str] = {
    "envoy": "`mlopt rollout start --via envoy` gives candidates their share through it",
    "docker": "builds and runs the image that `mlopt deploy` writes a file for",
    "kubectl": "applies the manifests that `mlopt deploy` writes",
    "promtool": "checks the rules that `mlopt monitor --rules` writes",
    "amtool": "checks the routes beside those rules",
    "k6": "another generator, to hold `mlopt loadtest` against",
}
"""Programs of others, and what each is for."""


def machine(settings: ProjectSettings, environment: Mapping[str, str]) -> tuple[CheckGroup, ...]:
    """Return all that is known without an artifact."""
    from mlopt.cli.doctor_extras import IN_SERVICE, installed, packages
    from mlopt.deploy.table import ENGINES

    return (
        CheckGroup("engines", tuple(engine_checks(ENGINES))),
        CheckGroup("mlopt", tuple(packages(installed(), IN_SERVICE))),
        CheckGroup("tools", tuple(tool_checks())),
        CheckGroup("keys and tokens", (key_check(settings), trust_check(), token_check(environment))),
    )


def engine_checks(engines: Sequence[ServingEngine]) -> Iterator[Check]:
    """Say of each engine whether its packages are in this environment; `mlopt deploy` needs none of them."""
    from packaging.requirements import Requirement

    from mlopt.core.packages import versions

    for engine in engines:
        wanted = [Requirement(pin) for pin in engine.pins]
        found = versions(tuple(each.name for each in wanted))
        lacking = [str(each) for each in wanted if each.name not in found]
        others = [each for each in wanted if each.name in found and not each.specifier.contains(found[each.name])]
        if lacking:
            said = f"written for elsewhere: no {', '.join(lacking)} here; the requirements that are written bring it"
            yield Check(engine.name, "note", said)
        elif others:
            said = ", ".join(f"{each.name} {found[each.name]} is here, and {each} is written" for each in others)
            yield Check(engine.name, "note", f"{said}: start it in an environment of its own")
        else:
            yield Check(engine.name, "ok", ", ".join(f"{name} {version}" for name, version in found.items()))


def tool_checks(find: Callable[[str], str | None] | None = None) -> Iterator[Check]:
    """Say where each tool is; none of them is run."""
    import shutil

    for name, purpose in TOOLS.items():
        place = (find or shutil.which)(name)
        yield Check(name, "ok", place) if place else Check(name, "note", f"not on the PATH: {purpose}")


def key_check(settings: ProjectSettings) -> Check:
    """Say which key signs; of a private one only that it is there."""
    from mlopt.artifact.signing import keys

    if settings.key is not None:
        if settings.key.is_file():
            return Check("signing key", "ok", f"{settings.key}, as {settings.file} says")
        said = f"{settings.file} names {settings.key}, which is not there"
        return Check("signing key", "problem", said, f"mlopt keygen -o {quote(str(settings.key))}")
    try:
        there = keys.has_user_key()
    except MloptError as error:
        return Check("signing key", "problem", error.brief, error.problems[0].fix)
    path = keys.user_key_path()
    if there:
        return Check("signing key", "ok", f"your own, {path}")
    return Check("signing key", "note", f"none yet: the first signature makes {path}", "mlopt keygen")


def trust_check() -> Check:
    """Say who is believed where no option names anybody."""
    from mlopt.artifact.signing import keys

    where = f"{keys.public_path(keys.user_key_path())}; MLOPT_CONFIG moves it"
    try:
        who = keys.fingerprint(keys.user_public())
    except MloptError as error:
        return Check("trust", "note", f"nobody without --key, --root or --identity: {error.problems[0].what} ({where})")
    return Check("trust", "ok", f"your own key {who} ({where}); --key, --root or --identity names others")


def token_check(environment: Mapping[str, str]) -> Check:
    """Say whether there is an admin token for `mlopt serve` and `mlopt rollout`; it is shown nowhere."""
    from mlopt.serve.token import VARIABLE, token_from

    try:
        token = token_from(None, environment)
    except MloptError as error:
        return Check("admin token", "note", f"{VARIABLE}: {error.brief}", error.problems[0].fix)
    if token is None:
        said = f"no {VARIABLE}: without a token a server has no admin API, and no rollout reaches it"
        return Check("admin token", "note", said, "mlopt serve ARTIFACT --admin-token-file FILE")
    return Check("admin token", "ok", f"{VARIABLE} holds one")
