# The keeper of one throw-away PostgreSQL server: stops and removes it when its last user is gone.
#
# Every user holds the named pipe `alive` open for writing. A pipe ends when its last writer is gone, be it
# by return, by panic or by kill -9, so nothing here depends on anybody's good manners.
#
# Standard input brings a line with a password, one with what the server stores of it (initdb takes either),
# then one line with a port per start of the server.
# Standard output answers: made, prepared or failed, and `started <process>` per start.
unset TENANTRY_KEEPER # how this text got here
set -u
umask 077
trap '' PIPE # the one we answer to may be gone, which is when we are needed most
folder=$1 link=$2 linger=$3 template=$4 bin=$5
shift 5 # what is left are the server's settings
home=${folder%/*}

# Removes the server's folder, and what all servers share if this was the last one.
remove() {
    free_memory 2>/dev/null
    rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
    for other in "$home"/s-*; do [ -e "$other" ] && exit 0; done
    rm -rf "$home"/template-*
    rmdir "$home"
    exit 0
}

# A server that was killed leaves its shared memory behind; line 7 of its file names it.
free_memory() {
    [ -e "$folder/data/postmaster.pid" ] && ipcrm -m "$(sed -n '7s/.* //p' "$folder/data/postmaster.pid")"
}

prepare() {
    [ -e "$template/complete" ] && cp -R "$template/data" "$folder/data" && return
    rm -rf "$folder/data"
    printf '%s\n' "$verifier" >"$folder/verifier"
    initialise --lc-ctype=C.UTF-8 || initialise --lc-ctype=C || return
    printf '%s\n' "$password" >"$folder/data/scratch_password"
    # Only a server of one's own is followed by others that profit from a copy. `mkdir` elects who makes it.
    [ -n "$link" ] && return
    mkdir "$template" && cp -R "$folder/data" "$template/data" && : >"$template/complete"
    return 0
}

initialise() {
    "$bin/initdb" -D "$folder/data" -U postgres -A scram-sha-256 -E UTF8 --locale=C "$1" --no-sync \
        --no-instructions --wal-segsize=1 --pwfile="$folder/verifier" </dev/null >>"$folder/log" 2>&1 3<&-
}

# Waits until nobody holds the pipe, for a while and for good, then stops the server.
stop_when_unused() {
    while :; do
        while read -r _ <&3; do :; done
        sleep "$linger"
        read -r _ <&3 || break # whoever comes writes a line: a line means somebody came meanwhile
    done
    # From here on nobody finds the server. Who found it a moment ago is waited for.
    [ -n "$link" ] && [ "$(readlink "$link")" = "$folder" ] && rm -f "$link"
    while read -r _ <&3; do :; done
    kill -QUIT "$server"
}

mkdir "$folder" && mkfifo "$folder/alive" "$folder/running" || exit 1
exec 2>>"$folder/log"
# Opening a pipe waits for the other end, which may have died by now. Opening both ends never waits.
exec 4<>"$folder/alive"
exec 3<"$folder/alive"
exec 4<>"$folder/running"
exec 5<"$folder/running"
exec 4>&-
echo made

read -r password && read -r verifier || remove
if ! prepare; then
    echo failed
    read -r _
    remove
fi
echo prepared

while read -r port; do
    exec 4>"$folder/running" # for all processes of the server to inherit
    "$bin/postgres" -D "$folder/data" -p "$port" "$@" </dev/null >>"$folder/log" 2>&1 3<&- 5<&- &
    server=$!
    exec 4>&-
    stop_when_unused </dev/null >/dev/null 2>&1 &
    guard=$!
    echo "started $server"
    wait "$server"
    kill "$guard" 2>/dev/null
    read -r _ <&5 # a killed server leaves processes behind which need a moment to notice
    : >"$folder/ended"
done
remove
