"""What Warren asks of the operating system: processes, files, directories, and text that is safe to print."""
