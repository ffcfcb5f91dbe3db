"""Judging models: degradations with a known truth, figures with their uncertainty, pages to look at."""
