"""An artifact on somebody else's server: what `mlopt deploy` writes for an engine, and what it derives it from.

`run.py` is the order of things. `contents.py` is an artifact that is to be served, `derived.py` the settings that its
evidence leads to, `pod.py` what those come to for a machine, `table.py` the engines, of which each is one file in
`engines/`. `rendering.py` fills the templates. What is written needs no mlopt.
"""
