"""The actions of commands on a running suite."""
