"""The logs: every event, and how an event becomes one JSON object per line."""
