"""What the hub sends to others by itself. It follows the log, so a post never waits for it."""
