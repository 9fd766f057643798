#!/bin/sh
# Starts buildkitd. A daemon that did not get up twice in a row has state that it cannot open: that is set aside, one of
# it is kept for whoever looks into it, and the third start is one with an empty cache. The pod's start-up probe removes
# the count when the daemon answers, so that what goes wrong later does not count. A broken snapshot database does not
# keep it from answering, only every build from succeeding: so the databases that it does not mend itself are looked at.
set -u
state=${BUILDKIT_STATE:-/var/lib/buildkit}
failed=$(cat "$state/failed-starts" 2>/dev/null)
case $failed in '' | *[!0-9]*) failed=0 ;; esac

# Of bbolt's two head pages one at least begins so; a page has 4, 16 or 64 KiB.
is_database() {
  for at in 16 4112 16400 65552; do
    [ "$(od -An -tx4 -j "$at" -N 4 "$1" 2>/dev/null | tr -d ' \n')" = ed0cdaed ] && return
  done
  return 1
}
why="buildkitd did not start $failed times in a row"
for database in "$state"/runc-*/containerdmeta.db "$state"/runc-*/snapshots/metadata.db; do
  if [ -s "$database" ] && ! is_database "$database"; then
    failed=2
    why="$database is broken"
  fi
done

if [ "$failed" -ge 2 ]; then
  last=0
  for aside in "$state"/state.set-aside.*; do
    [ -d "$aside" ] || continue
    number=${aside##*.}
    case $number in *[!0-9]*) continue ;; esac
    [ "$number" -gt "$last" ] && last=$number
    rm -rf "$aside"
  done
  aside=$state/state.set-aside.$((last + 1))
  echo "$why: its state is set aside in $aside" >&2
  mkdir -p "$aside"
  for it in "$state"/*; do
    case $it in "$state"/state.set-aside.* | "$state"/lost+found | "$state"/failed-starts) ;; *) mv "$it" "$aside/" ;; esac
  done
  failed=0
fi
# On a full disk this fails, and the daemon is started all the same.
echo $((failed + 1)) >"$state/failed-starts" 2>/dev/null
exec buildkitd "$@"
