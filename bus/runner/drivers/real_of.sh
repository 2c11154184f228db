# shellcheck shell=sh
# A piece: real.sh, read.sh and write.sh begin with it. `real_of` sets `r` to where the path $1
# leads, with every link resolved, the file's own too. What does not exist yet stays as it is
# written.

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
