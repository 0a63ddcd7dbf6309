"""The health of this host's suite, judged from the files of its run directory and its disks.

Neither the broker nor supervisord is asked.
"""
