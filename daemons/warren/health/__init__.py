"""How this host's suite stands, judged from the files of its run folder alone: no broker and no supervisord is asked."""
