"""The broker: the embedded one, and questions to whichever there is."""
