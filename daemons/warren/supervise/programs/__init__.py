"""What supervisord is to run, and the files that tell it."""
