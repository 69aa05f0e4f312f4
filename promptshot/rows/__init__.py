"""Rows: read from files of any format and encoding, and written."""
