"""Whether each program works, and what is done for one that does not."""
