"""Messages: their form, and how they are posted, asked for and followed, one call at a time.

No settings, no outbox and no file belong here; the Bus joins those.
"""
