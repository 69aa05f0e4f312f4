"""What authors of templates need: first files, previews, checks."""
