"""What is sent to others by itself. It follows the log, so a post never waits for it.

`bus.notify.webhooks` runs in the web worker that leads. The rest is a process of its own,
`python -m bus notify`: it sends notices to services such as Telegram, by the rules of its settings
file. The two share nothing.
"""
