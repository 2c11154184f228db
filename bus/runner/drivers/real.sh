# shellcheck shell=sh
# Prints where the path $1 leads. The loader puts the text of real_of.sh in the place of the line
# that names it.
. ./real_of.sh

real_of "$1" || { echo link; exit 11; }
printf '%s\n' "${r:-/}"
