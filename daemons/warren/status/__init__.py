"""The status files of a host: the writer, the shape and the readers of each file."""
