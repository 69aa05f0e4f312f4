"""One row to one label."""
