"""``mlopt tune``: a search over chains, their settings, runtimes and options, under a recipe's gates."""
