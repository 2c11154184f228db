# shellcheck shell=sh
# A piece: read.sh and write.sh begin with it. `type_of` prints what the path $1 is, and `facts`
# its size, mode, user and group.

LC_ALL=C; export LC_ALL
type_of() {
  if [ -d "$1" ]; then echo folder
  elif [ -p "$1" ]; then echo fifo
  elif [ -S "$1" ]; then echo socket
  elif [ -b "$1" ] || [ -c "$1" ]; then echo device
  elif [ -f "$1" ]; then echo file
  elif why=$(stat -L "$1" 2>&1 >/dev/null); then echo other
  else case $why in *'ermission denied') echo refused ;; *) echo missing ;; esac
  fi
}
facts() { stat -L -c '%s %a %u %g' "$1" 2>/dev/null || stat -L -f '%z %Mp%03Lp %u %g' "$1"; }
