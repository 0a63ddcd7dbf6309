"""What the suite says of itself: to systemd, in its status file, to a terminal."""
