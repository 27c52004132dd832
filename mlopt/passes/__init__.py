"""The passes: a file for each, and the ``table`` of them."""
