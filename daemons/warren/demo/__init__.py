"""The demo: a sample app, an API with a limit that it calls, and the quickstart that runs both."""
