"""``mlopt serve``: verified artifacts behind the Open Inference Protocol, on one machine.

``run.py`` is the order of things, ``app.py`` has the routes. What decides (``derived``, ``inputs``, ``joining``,
``waiting``, ``traffic``, ``streaks``, ``agreement``, ``response_cache``) is pure; ``lane.py`` gives each open model its
queue and its one thread.
"""
