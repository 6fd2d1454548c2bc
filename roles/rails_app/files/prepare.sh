#!/bin/sh
# This file is written by Gatehouse. It is run once in an unpacked release, in the application's sandbox: it finds or
# unpacks the gems without asking an index for them, and runs the tasks of Rails that it is given. It is done on the host
# and not on the controller, because both depend on the host's Ruby.
set -eu
# A production application without a secret would not boot, and what is compiled here needs none.
[ -n "${SECRET_KEY_BASE:-}${RAILS_MASTER_KEY:-}" ] || export SECRET_KEY_BASE_DUMMY=1
# What all releases share cannot be written to from here.
for path in log storage tmp; do
  if [ -L "$path" ]; then
    mv "$path" ".shared-$path"
    mkdir "$path"
  fi
done
bundle install --local --quiet
for task in "$@"; do
  bundle exec rails "$task"
done
for link in .shared-*; do
  if [ -L "$link" ]; then
    rm -rf "${link#.shared-}"
    mv "$link" "${link#.shared-}"
  fi
done
