"""Approvals at its edges: the directory's table, and queries."""
