"""Running the hub: the configuration of gunicorn, the commands of `python -m bus`, the first start,
importing an old log.

Only this room knows gunicorn, gevent and click. Nothing but the doors (`app.py`, `bus/__main__.py`)
imports it.
"""
