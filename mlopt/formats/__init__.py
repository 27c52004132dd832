"""How models of a kind lie on disk: one folder or file a kind, and the ``table`` of them."""
