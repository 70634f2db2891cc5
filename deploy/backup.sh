#!/bin/sh
# Copies the state of a service, running or not: deploy/backup.sh STATE_DIR ARCHIVE.tar.gz
# To be run as the service's user. The queue is left out: it holds what is under way, and nothing else.
set -eu
umask 077
state=$1
archive=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

copy_files() {
    for part in weights tokenizers reference docs credentials.json session.key; do
        if [ -e "$state/$part" ]; then
            rm -rf "${work:?}/$part"
            cp -a "$state/$part" "$work/" || return 1
        fi
    done
}

# Weights first: a verdict learned meanwhile is in the log then, from which `sb-api replay` rebuilds them.
# A training may take away its oldest version while it is copied; then all are copied again.
copy_files || copy_files
find "$work" -name '.*.partial' -delete

for log in "$state"/*.sqlite; do
    [ -e "$log" ] || continue
    "${PYTHON:-python3}" - "$log" "$work/$(basename "$log")" <<'END'
import sqlite3
import sys

# SQLite's own way to copy a database that is written to at the same time.
source, target = (sqlite3.connect(path) for path in sys.argv[1:])
with target:
    source.backup(target)
END
done

tar -C "$work" -czf "$archive.partial" .
mv "$archive.partial" "$archive"
