"""What may be shown of a text or value that may hold secrets: one masker for settings, logs and messages."""
