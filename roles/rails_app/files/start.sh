#!/bin/sh
# This file is written by Gatehouse. Starts Puma, whose config/puma.rb may say what is not said here.
set -eu
# config/puma.rb, as `rails new` wrote it for years, has a pidfile there.
mkdir -p tmp/pids
cores=$(nproc)
if [ "$WEB_CONCURRENCY" = 0 ]; then
  # Two at least, so that one answers while the other starts anew; past eight, memory is what ends first.
  WEB_CONCURRENCY=$((cores < 2 ? 2 : cores > 8 ? 8 : cores))
fi
export WEB_CONCURRENCY HOME="$STATE_DIRECTORY"
case $APP_ADDRESS in *:*) address="[$APP_ADDRESS]" ;; *) address=$APP_ADDRESS ;; esac
exec bundle exec puma --preload --bind "tcp://$address:$APP_PORT" --workers "$WEB_CONCURRENCY" \
  --threads "$RAILS_MAX_THREADS:$RAILS_MAX_THREADS" --environment production
