"""What a run finds and may lose, as frozen data, and the words in which reports and recipes speak of it."""
