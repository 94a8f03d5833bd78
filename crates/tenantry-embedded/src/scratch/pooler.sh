# The keeper of one throw-away PgBouncer: ends it, and removes its folder, when standard input ends. That is
# when whoever started it is gone, be it by return, panic or kill -9.
#
# Standard input brings the lines of its configuration, `end`, and the lines of its user list, `end`.
unset TENANTRY_KEEPER # how this text got here
set -u
umask 077
folder=$1 program=$2
home=${folder%/*}

lines() {
    while read -r line && [ "$line" != end ]; do printf '%s\n' "$line"; done
}

mkdir "$folder" || exit 1
lines >"$folder/pgbouncer.ini"
lines >"$folder/users"
"$program" -q "$folder/pgbouncer.ini" </dev/null >>"$folder/log" 2>&1 &
pooler=$!
while read -r _; do :; done
kill "$pooler" 2>/dev/null
wait "$pooler"
rm -rf "$folder"
rmdir "$home" 2>/dev/null
exit 0
