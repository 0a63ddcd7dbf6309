"""The status reports of the suite: to systemd, in its status file, to a terminal."""
