"""Is what a model is asked, and answers, still what it was judged on? Live sketches beside those of the artifact.

``compare.py`` finds what differs and by how much, ``chance.py`` how much chance alone makes of that for so many rows
(simulated, before the live figures are looked at), ``quality.py`` does so for counts of NaN and values out of range,
``judge.py`` comes to a verdict, ``page.py`` tells it. ``live.py`` reads what is live, ``requests_log.py`` makes
sketches of a log, ``rules.py`` and ``alerting.py`` write what Prometheus and Alertmanager take.
"""
