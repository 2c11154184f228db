# shellcheck shell=sh
# Writes standard input to a new file beside the path $1, and puts it in the place of the old one.
# The loader puts the text of the three files below in the place of the lines that name them.
#
# $1 path, $2 name of the new file, $3 bytes, $4 SHA-256, $5 mode, $6 uid, $7 gid (each may be
# empty). $8 is what must be there before: - for anything, empty for nothing, else its SHA-256. $9
# is 1 if missing folders are to be made. $10 is where the path has to lead, or empty.
#
# The lock is on the folder, so that one of two writers who saw the same file is refused. If the
# system has no flock, it is left out. The folder is entered before its place is compared, and
# everything is done from inside it: a link that moves afterwards leads nobody elsewhere.
#
# SC2015: either of the two conditions may fail.
# SC2172: 13 is SIGPIPE on every system; not every shell knows the name.
# shellcheck disable=SC2015,SC2172
. ./type_of.sh
. ./real_of.sh
. ./resolved.sh

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
