#!/bin/sh
# This file is written by Gatehouse. Starts gunicorn with the dependencies that were locked for this host's Python.
set -eu
release=$(pwd -P)
python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! [ -d "$release/lib/python$python" ]; then
  echo "This release has no dependencies for Python $python: add '$python' to flask_app_python_versions." >&2
  exit 78
fi
case $APP_ADDRESS in *:*) address="[$APP_ADDRESS]" ;; *) address=$APP_ADDRESS ;; esac
export PYTHONPATH="$release/lib/python$python:$release" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec /usr/bin/python3 -m gunicorn --bind "$address:$APP_PORT" "$WSGI_TARGET"
