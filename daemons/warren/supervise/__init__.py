"""supervisord's process: its programs from the settings, and supervisord itself in the
foreground.
"""
