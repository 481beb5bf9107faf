"""Bringing portfolios in from files: every row is taken, or reported with its row, column and reason."""
