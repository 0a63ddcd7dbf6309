"""Every event, and how it becomes one JSON object a line."""
