"""Write which names the Python bindings of TensorRT have, from the oldest version that is supported to the newest.

python benchmarks/tensorrt_names.py

The full library comes from its vendor's own index; its bindings are on PyPI, and import against any library of its
name. A C compiler makes those, empty. What comes is tests/goldens/tensorrt_names.json, which tests hold the code to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "tests" / "goldens" / "tensorrt_names.json"
WHEELS = {
    "tensorrt 10.16": ("tensorrt-cu12-bindings==10.16.1.11", "tensorrt_bindings", 10),
    "tensorrt 11.4": ("tensorrt-cu13-bindings==11.4.0.106", "tensorrt_bindings", 11),
}
CLASSES = (
    "Builder", "IBuilderConfig", "INetworkDefinition", "OnnxParser", "ParserError", "IOptimizationProfile", "ILogger",
    "ILogger.Severity", "IErrorRecorder", "IHostMemory", "ITimingCache", "Runtime", "ICudaEngine", "EngineInspector",
    "IExecutionContext", "BuilderFlag", "NetworkDefinitionCreationFlag", "MemoryPoolType", "ProfilingVerbosity",
    "TilingOptimizationLevel", "HardwareCompatibilityLevel", "LayerInformationFormat", "ErrorCodeTRT",
    "ComputeCapability", "ITensor",
)  # fmt: skip
"""Those that mlopt uses; what it uses of the module itself is listed under an empty name."""
STUBS = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
))  # fmt: skip
ASK = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
def names(of): return sorted(name for name in dir(of) if not name.startswith("_"))
found = {"": names(module)}
for name in sys.argv[2:]:
    of = module
    for part in name.split("."): of = getattr(of, part, None)
    if of is not None: found[name] = names(of)
print(json.dumps(found))
"""


def main() -> None:
    """Ask each version, and TensorRT-RTX if it is installed here."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, (wheel, module, major) in WHEELS.items():
            found[label] = names(module, unpacked(wheel, major, Path(folder) / str(major)))
    try:
        from tensorrt_rtx import __version__ as version
    except ImportError:
        sys.exit("TensorRT-RTX is not here: PYTHONPATH=.bench/tensorrt_rtx/site-packages")
    found[f"tensorrt_rtx {'.'.join(version.split('.')[:2])}"] = names("tensorrt_rtx", None)
    OUTPUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def unpacked(wheel: str, major: int, place: Path) -> Path:
    """Fetch bindings and put empty libraries beside them; return the folder."""
    place.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), wheel]
    subprocess.run(pip, check=True)
    for file in place.glob("*.whl"):
        zipfile.ZipFile(file).extractall(place)
    source = place / "stubs.c"
    source.write_text(STUBS, encoding="utf-8")
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        file = f"lib{library}.so.{major}"
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{file}", "-o", str(place / file), str(source)], check=True
        )
    return place


def names(module: str, place: Path | None) -> dict[str, list[str]]:
    """Return the public names of the module and of its classes, of a process of its own."""
    paths = {} if place is None else {"PYTHONPATH": str(place), "LD_LIBRARY_PATH": str(place)}
    ask = [sys.executable, "-c", ASK, module, *CLASSES]
    done = subprocess.run(ask, check=True, capture_output=True, text=True, env=os.environ | paths)
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
