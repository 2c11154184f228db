# shellcheck shell=sh
# Prints the regular file $1, at most $2 bytes of it and one more, behind a line with its size,
# mode and owner. The loader puts the text of the two files below in the place of the lines that
# name them.
#
# $3 is where the path has to lead, or empty. It is compared once the file is open, where the
# system tells which file was opened. Of a file of more than $2 bytes, $5 bytes from $4 on are
# printed, if that is not more than $2 either.
#
# `test -f` comes before the opening, because opening a FIFO would wait for a writer. If a FIFO
# takes the file's place just then, the time limit ends it.
. ./type_of.sh
. ./real_of.sh

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
