"""New settings for a running suite: checked, planned, rolled out."""
