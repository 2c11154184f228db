"""Who may call: a file of `name:{SSHA}…` lines that nginx reads as well (`auth_basic_user_file`).

Secrets are random, 256 bits, so a salted SHA-1 is enough and costs a microsecond; bcrypt on every
request would be a denial of service by our own hand (docs/decisions/0004-password-hash.md has the
measurement).
"""

from bus.credentials.lines import hashed, new_secret
from bus.credentials.reading import Credentials, user_in
from bus.credentials.register import Granted, Invite, Register

__all__ = ["Credentials", "Granted", "Invite", "Register", "hashed", "new_secret", "user_in"]
