"""The process of supervisord, with the programs that the settings name."""
