"""The algorithms that make models smaller and faster, on plain settings: they know no pass and no recipe."""
