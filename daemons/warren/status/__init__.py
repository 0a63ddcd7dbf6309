"""The status files of a host: who writes each file, which shape it has, and who reads it."""
