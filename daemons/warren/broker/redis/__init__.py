"""Redis as a broker: a message is taken in one step, and is bounded before anything reads it."""
