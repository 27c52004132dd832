"""Training: one loop, with what it optimizes, how it is fed, and how it goes on after it was killed."""
