"""Telegram, both ways: what the service `telegram` is made of.

`api.py` calls the Bot API, `texts.py` writes what it is given, `people.py` knows who somebody is,
`buttons.py` keeps what a button stands for, `acts.py` does what people say, `updates.py` reads it.
"""
