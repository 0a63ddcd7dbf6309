"""Redis as Warren talks to it: a message is taken in one step, and is bounded before anything reads it."""
