"""The demo room: a sample app, an API with a limit for it to call, and the quickstart that runs both."""
