"""How approvals is reached and run."""
