"""The broker: the embedded broker, and the requests to each kind of broker."""
