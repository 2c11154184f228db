# shellcheck shell=sh
# Starts the program, waits for it, and says on standard error, behind the secret word, what became
# of it. enter.sh begins this.
#
# $1 is the working folder or empty, and the rest is the program with its arguments. The word,
# which nobody knows beforehand, comes through descriptor 4. It tells what this script says from
# what the program says: a program may end with any code and print anything. The shell waits and
# says the exit code itself, because a client (lxc, ssh) may end with a code of its own, and lxc
# adds words to a 127.
#
# `started` is written before the program runs, so it is the first in the pipe; `Signs` takes no
# second one. If the program does not exist, the script says so before `started`: the shell that
# fails to start it would add words of its own.
#
# Every variable here begins with __bus_: see enter.sh.

read -r __bus_s <&4
exec 4<&- 3>&2 2>/dev/null
trap : 1 2 15
if [ -n "$1" ] && ! cd "$1"; then printf '\036%s folder\n' "$__bus_s" >&3; exit 1; fi
shift
__bus_found() {
  case $1 in
    '') return 1 ;;
    */*) [ -f "$1" ] && [ -x "$1" ]; return ;;
  esac
  [ -n "${PATH+x}" ] || return 0
  __bus_p=$PATH:
  while [ -n "$__bus_p" ]; do
    __bus_x=${__bus_p%%:*} __bus_p=${__bus_p#*:}
    __bus_x=${__bus_x:-.}/$1
    [ -f "$__bus_x" ] && [ -x "$__bus_x" ] && return
  done
  return 1
}
if ! __bus_found "$1"; then printf '\036%s failed\n' "$__bus_s" >&3; exit 1; fi
__bus_o=0 __bus_e=0
if [ -r "/proc/$$/stat" ]; then
  read -r __bus_x __bus_x __bus_x __bus_x __bus_x __bus_i __bus_x <"/proc/$$/stat"
  while read -r __bus_x __bus_n; do [ "$__bus_x" = ino: ] && __bus_o=$__bus_n; done <"/proc/$$/fdinfo/1"
  while read -r __bus_x __bus_n; do [ "$__bus_x" = ino: ] && __bus_e=$__bus_n; done <"/proc/$$/fdinfo/3"
else
  __bus_i=-$(($(PATH=/bin:/usr/bin ps -o pgid= -p $$)))
fi
printf '\036%s started %s %s %s\n' "$__bus_s" "$__bus_i" "$__bus_o" "$__bus_e" >&3
(trap 'printf "\036%s failed\n" "$__bus_s" >&2' 0; exec "$@") 2>&3 3>&-
__bus_r=$?
printf '\036%s code %s\n' "$__bus_s" "$__bus_r" >&3
case $__bus_r in 125|126|127) exit 125 ;; esac
exit "$__bus_r"
