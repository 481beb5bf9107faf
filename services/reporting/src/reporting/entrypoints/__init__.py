"""How reporting is reached and run."""
