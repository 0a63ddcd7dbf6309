"""The base of every daemon: signals, one instance per host, a clean end, the background."""
