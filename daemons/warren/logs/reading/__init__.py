"""The reader of logs: the files of a directory, merged by time, and the selected lines."""
