"""Beat: sends the tasks of the schedule entries, each tick once."""
