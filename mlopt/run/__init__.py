"""The stages of ``mlopt optimize``."""
