"""The WSGI door: `gunicorn -c bus/server.py app:app`."""

from bus import create_app
from bus.server import background

app = create_app(background=background)
