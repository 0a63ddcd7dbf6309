"""The programs that supervisord runs, and the files that configure them."""
