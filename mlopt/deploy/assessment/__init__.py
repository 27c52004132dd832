"""What is known of an artifact before it is deployed: ``subject.py`` holds it, the others say what can be said of it.

``targets.py`` asks what `mlopt deploy` itself asks; ``constraints.py`` tells what the evidence leads to, and on which
machines it was found; ``security.py`` what stands under which signature; ``gaps.py`` what nobody has done yet, with the
command that does it. All but the reading of the report are pure.
"""
