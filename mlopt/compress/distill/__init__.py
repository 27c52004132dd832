"""Distillation: a student that learns from what a teacher answers, and from what goes on inside it."""
