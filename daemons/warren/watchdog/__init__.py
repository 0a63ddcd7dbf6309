"""The quota-watchdog: frees what dead processes held, follows edits, and publishes how broker and quotas stand."""
