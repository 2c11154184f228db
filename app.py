"""The WSGI door: `python -m bus serve` has gunicorn load it."""

from bus import create_app
from bus.server.turns import turns

app = create_app(turns=turns())
