#!/bin/sh
# This file is written by Gatehouse. Caches Laravel's configuration, which comes from this unit's environment, and starts
# php-fpm. The cache holds secrets, so nobody but the application reads it; it goes when the unit stops.
set -eu
state=$STATE_DIRECTORY run=$RUNTIME_DIRECTORY
mkdir -p "$state/storage/app" "$state/storage/logs" "$state/storage/framework/cache/data" \
  "$state/storage/framework/sessions" "$state/storage/framework/views"
# What is uploaded to the public disk is seen below public/storage, as `artisan storage:link` has it.
if [ ! -e "$state/storage/app/public" ]; then
  ln -sn "$(readlink -f "${APP_FASTCGI_SCRIPT%/*}/storage")" "$state/storage/app/public"
fi
export HOME="$state" VIEW_COMPILED_PATH="$run/views" \
  APP_CONFIG_CACHE="$run/config.php" APP_ROUTES_CACHE="$run/routes.php"
(
  umask 077
  mkdir -p "$run/views"
  for cache in config:cache route:cache view:cache; do
    /usr/bin/php artisan "$cache" --no-interaction --quiet
  done
)
if [ "$FPM_WORKERS" = 0 ]; then
  # A process waits for the database most of its time; past 32, memory is what ends first.
  cores=$(nproc)
  FPM_WORKERS=$((cores < 2 ? 8 : cores > 8 ? 32 : 4 * cores))
fi
export FPM_WORKERS
exec "/usr/sbin/php-fpm$PHP_VERSION" --nodaemonize --force-stderr --fpm-config bin/php-fpm.conf
