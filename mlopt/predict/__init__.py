"""``mlopt predict``: an artifact over a data set larger than memory, in shards that outlive a kill."""
