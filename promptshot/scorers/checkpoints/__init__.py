"""Checkpoints: from folders and the hub to tokenizers and models."""
