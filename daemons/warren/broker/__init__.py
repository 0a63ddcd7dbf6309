"""The broker: the embedded one, and the requests to each kind of broker."""
