"""Shell texts that run inside a target, for dash, bash and busybox.

What varies comes as "$1", never in the text.
"""

from __future__ import annotations

# Every variable of these two begins with __bus_, for what the caller's environment exports would be
# changed by them, and hand the word on; `bus.model.calls` refuses such names in `env`.
#
# $0 is START, $1 its word, $2 the folder or empty, the rest the program with its arguments. Starts START anew, so that the
# word stands among the arguments of nothing that the program can see: it comes through a pipe. LXD starts a run in a session
# of its own daemon's, which is 0 in the container. One of the run's own finds what has emptied its environment and lost its
# parent. Only where it is 0: elsewhere setsid would fork, and not wait.
ENTER = r"""
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
"""

# $1 is the folder or empty, the rest the program with its arguments; the word that nobody knows beforehand comes through
# descriptor 4. What is said on stderr behind the word tells what is the program's and what is not: a program may end with
# any code and print anything. The shell waits and says the code itself, for that of a client may be its own; lxc also adds
# words to a 127. `started` is written before the program is there, so it is the first in the pipe; `Signs` takes no second one.
# A program that is not there is told before `started`: the shell that fails to start it would have words of its own.
START = r"""
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
"""

# For a target that is entered through a login shell: says on stdout where the run's own output
# begins.
BEGIN = r"""printf '\036%s begin\n' "$1"
"""

# Ends every process that has the text $1 in its environment, what descends from those, and the
# sessions that they lead;
# $2 is the session of a run, $3 and $4 the inodes of the pipes that it writes to, or 0 each: who holds those belongs to
# it, too, however it ran away. First all are stopped, until no new one is found: what forks cannot run away, and what
# emptied its environment is still found below its parent. Says how many are left. Without a /proc, as on macOS, $2 is the
# negative of the run's process group; that one is ended, and how many are left is "unknown". With a $5 none is ended.
# $6 is the number of the run's user, or empty. What is root here may end more than that user may, and another process of
# the user might have forged $2 to $4: what only they point to is ended where it is the user's own, else but counted.
KILL = r"""
m=$1 s=$2 o=$3 e=$4 look=$5 u=$6
[ "$u" != 0 ] && [ -z "$look" ] || u=
exec 2>/dev/null
if ! [ -r /proc/self/environ ] || ! [ -r /proc/self/status ]; then
  [ -z "$look" ] && [ "$s" -lt -1 ] && kill -KILL -- "$s"
  echo unknown
  exit
fi
if printf 'a\000b\n' | grep -qF b; then
  marked() { grep -lF -e "$m" /proc/[0-9]*/environ; }
else
  marked() { for f in /proc/[0-9]*/environ; do tr '\000' '\n' <"$f" | grep -qF -e "$m" && echo "$f"; done; }
fi
holding() {
  [ "$o" -gt 0 ] || [ "$e" -gt 0 ] || return
  ls -l /proc/[0-9]*/fd | grep -E "^/proc/|^l-wx.* -> pipe:[[]($o|$e)[]]" | while read -r f; do
    case $f in /proc/*) p=${f#/proc/} p=${p%%/*} ;; *) echo "$p" ;; esac
  done
}
traced() {
  case $h in *" $pid "*) return 0 ;; esac
  [ "$s" -gt 1 ] && [ "$session" = "$s" ]
}
find_all() {
  h=" $(holding | tr '\n' ' ')"
  for f in $(marked); do
    p=${f#/proc/} p=${p%/*}
    case $v in *" $p "*) ;; *) v="$v$p " ;; esac
  done
  lines=$(grep -HE '^(State|PPid|Uid|NSsid):' /proc/[0-9]*/status)
  table=$(while IFS=':/ 	' read -r x x pid x key value x; do
    case $key in
      State) state=$value ;;
      PPid) parent=$value ;;
      Uid) uid=$value ;;
      NSsid) [ "$state" = Z ] || echo "$pid $parent $value $uid" ;;
    esac
  done <<EOF
$lines
EOF
)
  more=1
  while [ "$more" = 1 ]; do
    more=0
    while read -r pid parent session uid; do
      case $v in *" $pid "*) continue ;; esac
      case "$v" in *" $parent "*|*" $session "*) ;; *) [ "${u:-$uid}" = "$uid" ] && traced || continue ;; esac
      [ "$pid" -gt 1 ] && v="$v$pid " more=1
    done <<EOF
$table
EOF
  done
  alive=0 others=0
  while read -r pid parent session uid; do
    case $v in *" $pid "*) alive=$((alive + 1)) ;; *) [ "$pid" -gt 1 ] && traced && others=$((others + 1)) ;; esac
  done <<EOF
$table
EOF
}
v=" " n=0
while [ $n -lt 40 ]; do
  before=$v
  find_all
  [ $alive = 0 ] || [ -n "$look" ] && break
  kill -STOP $v
  if [ "$v" = "$before" ] || [ $n -gt 10 ]; then
    kill -KILL $v
    sleep 0.02 || sleep 1
  fi
  n=$((n + 1))
done
echo "$((alive + others))"
"""

_TYPE = r"""
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
"""

# Where the path $1 leads, in `r`: every link resolved, the file's own too; what is not there yet
# stays as it is written.
_REAL = r"""
real_of() {
  q=$1 rest=
  until [ -e "$q" ]; do
    [ ! -L "$q" ] || return 1
    case ${q##*/} in ''|.) ;; *) rest=/${q##*/}$rest ;; esac
    q=${q%/*}; [ -n "$q" ] || q=/
  done
  r=$(readlink -f "$q" && echo .) || return 1
  r=${r%??}
  r=${r%/}$rest
}
"""

REAL = (
    _REAL
    + r"""
real_of "$1" || { echo link; exit 11; }
printf '%s\n' "${r:-/}"
"""
)

# The regular file $1, at most $2 bytes of it and one more, behind a line with its size, mode and
# owner. `test -f` is before the opening: that of a FIFO would wait for a writer. Where one takes
# its place just then, the time-out ends it.
# $3 is where the path has to lead, or empty: looked at once the file is open, where the system tells what was opened.
# Of a file of more than $2 bytes only $5 of them from $4 on, where that is not more than $2 either.
READ = (
    _TYPE
    + _REAL
    + r"""
p=$1 max=$2
t=$(type_of "$p")
[ "$t" = file ] || { echo "$t"; exit 11; }
if [ -n "$3" ]; then
  exec 3<"$p" || exit 12
  o=/proc/$$/fd/3
  if [ -e "$o" ]; then
    r=$(readlink "$o"; echo .)
    r=${r%??} p=$o
  else
    real_of "$p" || exit 16
  fi
  [ "$r" = "$3" ] || exit 16
fi
f=$(facts "$p") || exit 12
size=${f%% *}
if [ "$size" -gt "$max" ]; then
  n=$((size - $4))
  [ "$n" -ge 0 ] || n=0
  [ "$n" -le "$5" ] || n=$5
  [ "$n" -le "$max" ] || { echo "$f"; exit 13; }
  echo "$f"
  [ "$n" = 0 ] && exit
  # dd goes to the place, where tail would read all that is before it.
  dd bs=65536 skip="$(($4 / 65536))" count="$((($4 % 65536 + n + 65535) / 65536))" <"$p" 2>/dev/null |
    tail -c "+$(($4 % 65536 + 1))" | head -c "$n"
  exit
fi
echo "$f"
head -c "$((max + 1))" <"$p" || exit 12
"""
)

# $1 path, $2 name of the new file beside it, $3 bytes, $4 SHA-256, $5 mode, $6 uid, $7 gid (each may be empty), $8 what must
# be there: - anything, empty nothing, else its SHA-256; $9 is 1 where folders are to be made. The lock is on the folder, so
# that of two writers who saw the same file one is refused; where the system has no flock it is left out. $10 is where the
# path has to lead, or empty. The folder is entered before that is compared, and everything is done from within it: a link
# that moves afterwards leads nobody elsewhere.
_RESOLVED = r"""
p=$1 t=$2
if [ -L "$p" ]; then
  r=$(readlink -f "$p"; echo .) || exit 12
  [ -e "$p" ] || { echo link; exit 11; }
  p=${r%??}
fi
d=${p%/*}; [ -n "$d" ] || d=/
t=${d%/}/$t
"""

WRITE = (
    _TYPE
    + _REAL
    + _RESOLVED
    + r"""
size=$3 sum=$4 mode=$5 uid=$6 gid=$7 old=$8 dirs=$9 want=${10}
is_at() {
  here=$(pwd -P; echo .)
  here=${here%??}
  [ "${here%/}" = "${1%/}" ]
}
make_wanted() {
  q=${want%/*} rest=
  until [ -d "${q:-/}" ]; do rest=${q##*/}/$rest q=${q%/*}; done
  cd -P "${q:-/}" || exit 14
  is_at "$q" || exit 16
  while [ -n "$rest" ]; do
    q=$q/${rest%%/*}
    (umask 022; mkdir "./${rest%%/*}" 2>/dev/null)
    cd -P "./${rest%%/*}" 2>/dev/null || exit 14
    is_at "$q" || exit 16
    rest=${rest#*/}
  done
}
replace() {
  mv -fT "$t" "$p" 2>/dev/null || { [ ! -d "$p" ] && mv -f "$t" "$p"; }
}
sum_of() {
  if command -v sha256sum >/dev/null; then x=$(sha256sum <"$1") || return 1
  else x=$(shasum -a 256 <"$1") || return 1
  fi
  echo "${x%% *}"
}
commit() {
  k=$(type_of "$p")
  case $k in
    file)
      [ ! -L "$p" ] || { echo link; exit 11; }
      if [ "$old" != - ]; then
        now=$(sum_of "$p") || exit 12
        [ "$now" = "$old" ] || { echo "$now"; exit 15; }
      fi
      read -r x m u g <<EOF || exit 12
$(facts "$p")
EOF
      : "${mode:=$m}" "${uid:=$u}" "${gid:=$g}"
      ;;
    missing)
      [ ! -L "$p" ] || { echo link; exit 11; }
      case $old in -|'') ;; *) echo; exit 15 ;; esac
      : "${mode:=644}"
      ;;
    *) echo "$k"; exit 11 ;;
  esac
  read -r x x u g <<EOF
$(facts "$t")
EOF
  [ "${uid:-$u}:${gid:-$g}" = "$u:$g" ] || chown "${uid:-$u}:${gid:-$g}" "$t" || exit 12
  chmod "$mode" "$t" && sync "$t" || exit 12
  replace || {
    # A folder that took the place of the file just now may have got the new file into it.
    [ -d "$p" ] || exit 12
    rm -f "$p/${t##*/}"
    echo folder
    exit 11
  }
  if [ -d "$p" ]; then rm -f "$p/${t##*/}"; echo folder; exit 11; fi
  sync .
  facts "$p"
}
k=$(type_of "$p")
case $k in file|missing) ;; refused) [ -d "$d" ] || { echo refused; exit 11; } ;; *) echo "$k"; exit 11 ;; esac
if [ ! -d "$d" ]; then
  [ -n "$dirs" ] || exit 14
  if [ -n "$want" ]; then
    { real_of "$1" && [ "$r" = "$want" ]; } || exit 16
    make_wanted
    [ -d "$d" ] || exit 16
  else
    why=$(umask 022; mkdir -p "$d" 2>&1) || case $why in
      *'ot a directory'|*'ile exists') exit 14 ;;
      *) echo "$why" >&2; exit 12 ;;
    esac
  fi
fi
cd -P "$d" || exit 12
p=./${p##*/}
t=./$2
[ -z "$want" ] || { is_at "${want%/*}" && [ "${p#./}" = "${want##*/}" ]; } || exit 16
trap 'rm -f "$t"' 0
trap 'exit 12' 1 2 13 15
umask 077
set -C
cat >"$t" || exit 12
set +C
[ "$(($(wc -c <"$t")))" = "$size" ] && [ "$(sum_of "$t")" = "$sum" ] || { echo "The content did not arrive whole." >&2; exit 12; }
if [ -r . ] && command -v flock >/dev/null; then { flock 9 && commit; } 9<.; else commit; fi
"""
)

# After a writer was ended by force. What could be removed had not taken the place of the old file,
# and cannot any more.
CLEAN = _RESOLVED + 'rm "$t" </dev/null && echo removed\n'

# What the target knows of the user $1, a name or a number: name, number, group, home, all its
# groups with commas, and the path of what gives it those, for LXD gives a user none but the first:
# setpriv, busybox's su (another one stays, with all its arguments), or nothing.
PASSWD = r"""
place_of() { for d in /usr/bin /bin /usr/sbin /sbin; do [ -x "$d/$1" ] && echo "$d/$1" && return; done; }
{ getent passwd "$1" || cat /etc/passwd; } 2>/dev/null | while IFS=: read -r n x u g x h x; do
  if [ "$n" = "$1" ] || [ "$u" = "$1" ]; then
    all=$(id -G "$n" 2>/dev/null | tr ' ' ,) by=
    if [ "${all:-$g}" != "$g" ]; then
      if setpriv --help 2>&1 | grep -qe --groups; then by=$(place_of setpriv)
      elif su --help 2>&1 | grep -q BusyBox; then by=$(place_of su)
      fi
    fi
    echo "$n:$u:$g:$h:$all:$by"; break
  fi
done
"""
