#!/bin/sh
# This file is written by Gatehouse. Runs Python with the dependencies that were locked for this host's version of it.
set -eu
release=$(cd "$(dirname "$0")/.." && pwd -P)
python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! [ -d "$release/lib/python$python" ]; then
  echo "This release has no dependencies for Python $python: add '$python' to flask_app_python_versions." >&2
  exit 78
fi
export PYTHONPATH="$release/lib/python$python:$release" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec /usr/bin/python3 "$@"
