"""One module per tool, each run in a process and mostly in an environment of its own."""
