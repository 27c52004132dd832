"""Bringing a verified artifact into service beside the one that serves, judging it there, and going back by digest."""
