"""Settings -> supervisor's programs, and supervisord itself, in the foreground of `warren supervise`."""
