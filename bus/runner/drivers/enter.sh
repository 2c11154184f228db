# shellcheck shell=sh
# Enters the target: begins start.sh in a shell of its own, in the run's own session.
#
# $0 is the text of start.sh, $1 the secret word, $2 the working folder or empty, and the rest is
# the program with its arguments. The word goes to start.sh through a pipe, so that it never stands
# among the arguments of anything that the program can see.
#
# LXD starts a run in a session of its own daemon, which is 0 inside the container. A session of
# the run's own lets kill.sh find what emptied its environment and lost its parent. setsid is
# called only if the session is 0: elsewhere it would fork, and not wait.
#
# Every variable here begins with __bus_, because a variable that the caller exports would be
# changed by an assignment here, and would hand the word on. `bus.model.calls` refuses such names
# in `env`.
#
# SC1007: an empty value is meant.
# shellcheck disable=SC1007

__bus_w=$1 __bus_i= __bus_t=
shift
{ read -r __bus_x __bus_x __bus_x __bus_x __bus_x __bus_i __bus_x <"/proc/$$/stat"; } 2>/dev/null
if [ "$__bus_i" = 0 ]; then
  if [ -x /usr/bin/setsid ]; then __bus_t=/usr/bin/setsid
  elif [ -x /bin/setsid ]; then __bus_t=/bin/setsid
  else __bus_t=$(command -v setsid)
  fi
fi
exec ${__bus_t:+"$__bus_t"} /bin/sh -c "$0" sh "$@" 4<<END
$__bus_w
END
