"""What every daemon shares: signals, one instance a host, an orderly end, the background."""
