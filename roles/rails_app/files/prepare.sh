#!/bin/sh
# This file is written by Gatehouse. It is run once in an unpacked release, in the application's sandbox: it finds or
# unpacks the gems without asking an index for them, and runs the tasks of Rails that it is given. It is done on the host
# and not on the controller, because both depend on the host's Ruby.
set -eu
export RAILS_ENV=production SECRET_KEY_BASE_DUMMY=1
bundle install --local --quiet
for task in "$@"; do
  bundle exec rails "$task"
done
rm -rf log tmp
