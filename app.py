"""The WSGI door: `python -m bus serve` has gunicorn load it."""

from bus import create_app
from bus.server import turns

app = create_app(turns=turns())
