"""``mlopt bench``: models compared that no recipe made."""
