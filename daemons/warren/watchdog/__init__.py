"""The quota-watchdog: it releases slots of dead processes and publishes the broker's status.

It also follows edits of the settings, and publishes the status of the quotas.
"""
