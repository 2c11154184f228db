# shellcheck shell=sh
# Says on standard output where the run's own output begins. It is put before enter.sh if a target
# is entered through a login shell, which may print something first. $1 is the secret word.
printf '\036%s begin\n' "$1"
