"""What a host publishes in its run directory: who writes it, what shape it has, who reads it."""
