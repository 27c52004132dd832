"""Figures and budgets as frozen data: what is measured, judged, stored and shown."""
