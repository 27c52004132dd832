"""What ``mlopt doctor`` finds of the libraries that run models: each imported in a child, since a wheel may crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopt.core.check import Check, Status

if TYPE_CHECKING:
    from mlopt.core.hardware import Hardware
    from mlopt.runtimes.base import Runtime
    from mlopt.runtimes.look import Looked


@dataclass(frozen=True)
class Examined:
    """A runtime that was looked at; ``looked`` is None if it is not installed."""

    runtime: Runtime[Any]
    versions: Mapping[str, str]
    looked: Looked | None

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` has it."""
        looked = self.looked
        return {
            "name": self.runtime.name,
            "versions": dict(self.versions),
            "imports": None if looked is None else looked.failure is None,
            "failure": looked.failure if looked else None,
            "seconds": round(looked.seconds, 2) if looked else None,
            "about": dict(looked.about) if looked else {},
        }


def examine_runtimes(notify: Callable[[str], None]) -> list[Examined]:
    """Look at each runtime of the table, one after the other; ``notify`` gets its name before."""
    from mlopt.core.packages import versions
    from mlopt.runtimes.look import about_runtime, look
    from mlopt.runtimes.table import table

    found = []
    for runtime in table().values():
        if not runtime.missing:
            notify(runtime.name)
        looked = None if runtime.missing else look(about_runtime, runtime.name)
        found.append(Examined(runtime, versions(runtime.packages), looked))
    return found


def runtime_checks(examined: Sequence[Examined], hardware: Hardware) -> Iterator[Check]:
    """Say of each runtime whether it can be used here; without ONNX Runtime nothing can be optimized."""
    from mlopt.core.target import AUTO, Target
    from mlopt.runtimes.absent import absent

    hints = {each.runtime: each.reason for each in absent(Target(runtime=AUTO), hardware)}
    for one in examined:
        runtime, name, versions = one.runtime, f"runtime {one.runtime.name}", ", ".join(one.versions.values())
        if one.looked is None:
            said = "not installed: no model can be run" if _is_baseline(runtime) else "not installed"
            said = "; ".join(filter(None, (said, hints.get(runtime.name))))
            yield Check(name, _if_wrong(runtime), said, runtime.install)
        elif one.looked.failure is not None:
            said = f"{versions}, but it cannot be imported: {one.looked.failure}"
            yield Check(name, _if_wrong(runtime), said, _again(runtime))
        else:
            about = "; ".join(f"{what}: {said}" for what, said in one.looked.about.items())
            yield Check(name, "ok", "; ".join(filter(None, (versions, about))))
    yield from _providers(examined, hardware)


def cuda_checks(examined: Sequence[Examined], hardware: Hardware) -> Iterator[Check]:
    """Say of each library that is built for a later CUDA than the driver of the GPU knows, and what to do."""
    if hardware.gpu is None:
        return
    driver = hardware.gpu.driver
    for one in examined:
        built = one.looked.about.get("cuda", "") if one.looked is not None else ""
        if built and _major(built) > _major(driver):
            said = f"{one.runtime.name} is built for CUDA {built}, and the driver knows {driver} and what is before it"
            fix = f"update the driver, or install a build of {one.runtime.name} for CUDA {_major(driver)}"
            yield Check(f"cuda of {one.runtime.name}", "note", said, fix)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def clash_checks(
    runtimes: Sequence[Runtime[Any]], hardware: Hardware, givers: Mapping[str, Sequence[str]]
) -> Iterator[Check]:
    """Say which distributions wrote over each other's files, and what to uninstall; ``givers`` are those by module."""
    from mlopt.core.installation import clashes, in_place_of
    from mlopt.core.packages import builds, install_command

    for runtime in runtimes:
        for clash in clashes(runtime.packages, givers):
            names = clash.distributions
            on_gpu = _is_baseline(runtime) and hardware.gpu is not None and "onnxruntime-gpu" in names
            install = install_command("gpu") if on_gpu else runtime.install
            if len(names) > 1:
                said = f"{' and '.join(names)} overwrite each other's files: what runs is neither"
            else:
                said = f"it is {names[0]}, and mlopt knows {' and '.join(builds(runtime.packages[0]))}"
            yield Check(f"module {clash.module}", _if_wrong(runtime), said, in_place_of(names, install))


def namesake_check(found: str | None) -> Iterator[Check]:
    """Say that there is a distribution called ``mlopt``, of this version, whose files lie where those of mlopt do."""
    from mlopt.core.distribution import DISTRIBUTION
    from mlopt.core.installation import in_place_of
    from mlopt.core.packages import reinstall_command

    if found is not None:
        whose = f"another project, or an earlier copy of this one, which is now called {DISTRIBUTION}"
        said = f"mlopt {found} is installed too: {whose}; they overwrite each other's files"
        yield Check("module mlopt", "note", said, in_place_of(["mlopt"], reinstall_command()))


def range_checks(extras: Sequence[str], wanted: Sequence[str]) -> Iterator[Check]:
    """Say what is installed in a version that mlopt is not made for; ``wanted`` are mlopt's own requirements."""
    from mlopt.core.installation import out_of_range

    for one in out_of_range(wanted, extras):
        said = f"{one.version} is installed, and mlopt is made for {one.wanted}"
        yield Check(f"version of {one.name}", "note", said, f'pip install "{one.name}{one.wanted}"')


def nncf_checks(notify: Callable[[str], None]) -> Iterator[Check]:
    """Say whether NNCF, which only one pass takes, can be imported, and that it sends nothing."""
    from mlopt.compress.quantization.smooth import about
    from mlopt.core.packages import version
    from mlopt.runtimes.look import look

    found = version("nncf")
    if found is None:
        return
    notify("nncf")
    looked = look(about)
    if looked.failure is not None:
        fix = "pip install --force-reinstall nncf"
        yield Check("nncf", "note", f"{found}, but it cannot be imported: {looked.failure}", fix)
    else:
        yield Check("nncf", "ok", f"{found}; telemetry: {looked.about['telemetry']}")


def engine_checks(hardware: Hardware) -> Iterator[Check]:
    """Say of both libraries that build engines whether they can here, and what brings them; neither is imported."""
    from mlopt.runtimes.tensorrt_library import LIBRARIES

    for library in LIBRARIES.values():
        lacks = library.lacking(hardware.gpu)
        if lacks is None:
            where = "for the GPU that is here" if library.needs_gpu else "for GPUs that need not be here"
            yield Check(f"engines {library.name}", "ok", f"{library.version}, builds {where}")
        else:
            said = ", ".join(filter(None, (library.version, lacks.what)))
            yield Check(f"engines {library.name}", "note", said, lacks.fix)


def compiler_check() -> Check:
    """Say whether ``torch.compile`` has its compiler, which one reference takes."""
    from mlopt.results.roles import COMPILED
    from mlopt.runtimes.torch_compile import missing_compiler

    lacking = missing_compiler()
    if lacking is None:
        return Check("compiler", "ok", f"there is a C++ compiler, for `references: [{COMPILED}]`")
    return Check("compiler", "note", f"{lacking.got}: `references: [{COMPILED}]` needs one", lacking.fix)


def _providers(examined: Sequence[Examined], hardware: Hardware) -> Iterator[Check]:
    from mlopt.core.installation import in_place_of
    from mlopt.core.packages import install_command

    about = next((one.looked.about for one in examined if _is_baseline(one.runtime) and one.looked), {})
    names = about.get("providers", "")
    if not names:
        return
    if hardware.gpu is not None and "CUDAExecutionProvider" not in names:
        fix = in_place_of(["onnxruntime"], install_command("gpu"))
        yield Check("providers", "note", f"{names}: the GPU cannot be used", fix)
    else:
        yield Check("providers", "ok", names)


def _again(runtime: Runtime[Any]) -> str:
    from mlopt.core.packages import version

    names = [name for name in runtime.packages if version(name) is not None]
    return f"pip install --force-reinstall --no-deps {' '.join(names)}"


def _is_baseline(runtime: Runtime[Any]) -> bool:
    from mlopt.runtimes.onnxruntime import RUNTIME

    return runtime.name == RUNTIME.name


def _if_wrong(runtime: Runtime[Any]) -> Status:
    """Without ONNX Runtime nothing can be optimized; without another, less."""
    return "problem" if _is_baseline(runtime) else "note"
