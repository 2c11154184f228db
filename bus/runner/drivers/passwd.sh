# shellcheck shell=sh
# Prints what the target knows of the user $1, a name or a number: name, number, group, home, all
# groups with commas, and the path of the program that can give a process those groups, because LXD
# gives it only the first: setpriv, busybox's su (any other su stays, with all its arguments), or
# nothing.
#
# SC2034: `x` takes the fields that nobody needs.
# shellcheck disable=SC2034

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
