# shellcheck shell=sh
# Removes the new file after a write was ended by force; $1 and $2 are those of write.sh. What
# could be removed had not taken the place of the old file, and cannot any more. The loader puts
# the text of resolved.sh in the place of the line that names it.
#
# SC2217: rm would ask on its standard input about a file that is not writable.
# shellcheck disable=SC2217
. ./resolved.sh
rm "$t" </dev/null && echo removed
