"""Side-by-side speed and agreement with other tools on the same strings (see README.md)."""
