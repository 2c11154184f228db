# Sourced by the other scripts: a virtual environment that is made once and brought up to date when
# its lists change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ROOT=$PWD
VENV=${CLAUDE_BUS_VENV:-$ROOT/.venv}
PYTHON=${PYTHON:-python3}

# What takes a while is said before it begins, on standard error: standard output is for what can be
# pasted.
say() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
}

# Usage: install requirements.txt [requirements-dev.txt]
install() {
  local list stamp
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; $("$PYTHON" --version) is what $PYTHON is (set PYTHON to choose another)." >&2
    exit 1
  }
  "$PYTHON" -c 'import ensurepip' 2>/dev/null || {
    echo "$PYTHON cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
    exit 1
  }
  if [ ! -x "$VENV/bin/python" ]; then
    say "making the virtual environment $VENV (10 s)"
    "$PYTHON" -m venv "$VENV"
  fi
  for list in "$@"; do
    stamp=$VENV/.installed-$(basename "$list")
    if ! cmp -s "$list" "$stamp"; then
      say "installing $list (up to a minute, or as long as the downloads take)"
      "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list"
      cp "$list" "$stamp"
    fi
  done
  if [ -f pyproject.toml ] && grep -q '^\[project\]' pyproject.toml && ! cmp -s pyproject.toml "$VENV/.installed-client"; then
    say "installing the \`bus\` command as $VENV/bin/bus (10 s)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    cp pyproject.toml "$VENV/.installed-client"
  fi
}
