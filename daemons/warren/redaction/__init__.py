"""The redaction of secrets in texts and values: one masker for settings, logs and messages."""
