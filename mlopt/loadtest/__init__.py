"""``mlopt loadtest``: a server under load that does not wait for it, judged by the limits of its service.

``arrivals.py`` says when requests are to be sent, ``sender.py`` sends them whatever became of those before, ``http.py``
is the way to the server; ``answers.py`` holds what comes back against what the artifact answers itself. All else is
arithmetic: ``figures.py``, ``lateness.py``, ``ramp.py``, ``comparison.py`` and ``judging.py``. ``run.py`` is the order.
"""
