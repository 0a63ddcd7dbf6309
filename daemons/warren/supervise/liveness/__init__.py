"""The liveness of each program, and the recovery of a program that does not work."""
