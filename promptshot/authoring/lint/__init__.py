"""What can be wrong with templates and verbalizers, and why it matters."""
