"""Many recipes on the same rows."""
