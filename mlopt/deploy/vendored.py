"""mlopt's own code for the Open Inference Protocol, as one module that needs no mlopt.

What is written answers as mlopt's own server does because it is the same code.
"""

from __future__ import annotations

import ast
from importlib import resources

VENDORED = "open_inference.py"
"""What it is called where it is written: the one page that is not from a template."""
_PARTS = ("tensors.py", "messages.py")
_HEAD = '''"""The Open Inference Protocol, version 2: requests read and answers written, by mlopt's own code for it."""

from __future__ import annotations

'''
_ERROR = '''

class UserError(Exception):
    """What is wrong, what was found, and what was expected, in one line."""

    def __init__(self, what: str, **more: str | None) -> None:
        super().__init__("; ".join([what, *(f"{name}: {text}" for name, text in more.items() if text)]))
'''


def open_inference() -> str:
    """Return the module's source."""
    imports: list[str] = []
    bodies = []
    for part in _PARTS:
        source = resources.files("mlopt.protocol").joinpath(part).read_text("utf-8")
        own, body = _parted(source)
        imports += [line for line in own if line not in imports]
        bodies.append(body)
    standard = [line for line in imports if "numpy" not in line]
    numpy = [line for line in imports if "numpy" in line]
    text = _HEAD + "\n".join(sorted(standard)) + "\n\n" + "\n".join(sorted(numpy)) + "\n" + _ERROR
    return text + "".join(f"\n\n{body.strip()}\n" for body in bodies)


def _parted(source: str) -> tuple[list[str], str]:
    """Return the imports that stay, and the text after all imports."""
    tree, lines = ast.parse(source), source.splitlines(keepends=True)
    kept, last = [], 0
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            last = max(last, node.end_lineno or 0)
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if not module.startswith(("mlopt", "__future__")):
                kept.append(ast.unparse(node))
    return kept, "".join(lines[last:])
