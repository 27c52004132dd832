"""``mlopt bisect``: which pass broke a limit on quality, which nodes are guilty, and the exclusion that mends it."""
