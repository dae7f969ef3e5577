# Keeps a PostgreSQL cluster for as long as somebody holds the other end of standard input, and obeys what is
# written there, line by line: each command is answered with one line.
#
# Whoever started it may die without a word; the end of standard input then ends the cluster and its files.
set -u
bin=$1
port=$2
shift 2
directory=$(mktemp -d)
data=$directory/data

start() {
  "$bin/pg_ctl" -D "$data" -w -t 60 -l "$directory/log" -s \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 $*" start >&2
}

postmaster() {
  head -n 1 "$data/postmaster.pid"
}

trap '' INT TERM HUP
if ! "$bin/initdb" -D "$data" -U filmgate -A trust -E UTF8 --locale=C >"$directory/initdb" 2>&1; then
  cat "$directory/initdb" >&2
elif ! start "$@"; then
  cat "$directory/log" >&2
else
  echo ready
  while read -r command; do
    case $command in
      # As a power cut does: the server and what it had in memory.
      kill) kill -9 "$(postmaster)" ;;
      stop) "$bin/pg_ctl" -D "$data" -w -s -m fast stop >&2 ;;
      # After a kill the backends take a moment to notice that they are alone.
      start) until start "$@" 2>/dev/null; do sleep 0.2; done ;;
      *) echo "unknown command $command" >&2 ;;
    esac
    echo "done"
  done
fi
"$bin/pg_ctl" -D "$data" -s -m immediate stop >/dev/null 2>&1
rm -rf "$directory"
