"""Redis as a broker: a message is taken in one step, and its size is checked before any use."""
