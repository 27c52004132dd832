"""Limits on measured figures: what a gate may say, how it is read off a report, and the verdict. All of it is pure."""
