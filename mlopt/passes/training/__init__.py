"""What passes that train share: how the recipe's data and keys become a loader and an objective."""
