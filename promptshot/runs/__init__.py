"""One run over files, and what it leaves."""
