# shellcheck shell=sh
# Ends every process that has the text $1 in its environment, its descendants, and the sessions
# that they lead. Prints how many are left, on a line of its own: what a login shell prints before
# may have no line end.
#
# $2 is the session of a run, $3 and $4 are the inodes of the pipes that it writes to, or 0 each:
# whoever holds those pipes belongs to the run too, however it got away. With a $5 nothing is
# ended, only counted. $6 is the number of the run's user, or empty. Root here may end more than
# that user may, and another process of the user might have forged $2 to $4. So what only $2 to $4
# point to is ended if it is the user's own, and only counted otherwise.
#
# All are stopped first, until no new one is found: what forks cannot get away, and what emptied
# its environment is still found below its parent. Without a /proc, as on macOS, $2 is the negative
# of the run's process group; that group is ended, and "unknown" is printed.
#
# SC2086: `kill` gets a list of numbers, which has to be split.
# SC2015: both sides of these `&&` and `||` only set variables.
# SC2010: `ls` shows where the links of a folder lead, which no glob does.
# SC2030, SC2031: the `p` of a pipeline is its own on purpose.
# SC2034: `x` takes the fields that nobody needs.
# shellcheck disable=SC2010,SC2015,SC2030,SC2031,SC2034,SC2086
echo

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
