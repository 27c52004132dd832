"""The command line: ``app`` is the program, each other module one verb or a helper of the verbs."""

import gc

gc.set_threshold(100_000)  # imports make objects and no garbage, and to look for some is a tenth of the time of a verb
