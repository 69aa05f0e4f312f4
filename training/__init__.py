"""How the built-in models are made: plain text in, two small checkpoints out (see README.md)."""
