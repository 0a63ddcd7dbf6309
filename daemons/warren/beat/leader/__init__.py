"""Which beat of a fleet leads, on each kind of broker."""
