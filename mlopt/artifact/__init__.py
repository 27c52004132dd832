"""The artifact: a directory with a model and its evidence (``layout``), signed (``sign``), checked (``verify``)."""
