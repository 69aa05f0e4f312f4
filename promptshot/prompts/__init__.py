"""Templates, label words and tasks: words, without any model."""
