"""What Gatehouse costs, beside what its parts can do at best on the same machine in the same run."""
