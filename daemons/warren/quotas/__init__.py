"""The quota: how many calls a host may still make, kept where no restart forgets it."""
