"""The engines, one file each: which files one wants, and what its templates are told."""
