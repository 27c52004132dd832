"""PyTorch models: built or loaded, watched for what an export would lose, and run as they are written."""
