#!/bin/sh
# This file is written by Gatehouse. Runs Python with the dependencies that were locked for this host's version of it.
set -eu
release=$(cd "$(dirname "$0")/.." && pwd -P)
program=/usr/bin/python3
python=$($program -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! [ -d "$release/lib/python$python" ]; then
  # The controller, where commands of a build run, may have the hosts' Python beside its own.
  for folder in "$release"/lib/python*; do
    if program=$(command -v "${folder##*/}"); then python=${folder##*/python}; fi
  done
fi
if ! [ -d "$release/lib/python$python" ]; then
  echo "error: this release has no dependencies for Python $python: add '$python' to python_app_versions, or install" \
    "the hosts' Python beside it." >&2
  exit 78
fi
export PYTHONPATH="$release/lib/python$python:$release" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec "$program" "$@"
