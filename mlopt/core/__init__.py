"""What everything stands on: errors, the cache, worker processes, this machine, and the Python that users bring."""
