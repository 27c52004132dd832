"""What runs models: one file a library, and the ``table`` of them."""
