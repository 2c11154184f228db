# shellcheck shell=sh
# A piece: write.sh and clean.sh begin with it. From the path $1 and the name $2 of a new file it
# sets `p`, the path with a link at its end followed, `d`, its folder, and `t`, the new file in it.

p=$1 t=$2
if [ -L "$p" ]; then
  r=$(readlink -f "$p"; echo .) || exit 12
  [ -e "$p" ] || { echo link; exit 11; }
  p=${r%??}
fi
d=${p%/*}; [ -n "$d" ] || d=/
t=${d%/}/$t
