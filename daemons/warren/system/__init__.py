"""The operating system for Warren: processes, files, directories, and printable text."""
