"""The command line: ``app`` is the program, each other module one verb or a helper of the verbs."""
