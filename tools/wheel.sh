#!/usr/bin/env bash
# Build the wheel into dist/: the same sources, compiler and torch give the same bytes.
# It goes by way of an sdist, so that nothing of earlier builds gets in, and asks no
# index for anything. SOURCE_DATE_EPOCH sets the date of the files in it.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

PY=${VENV:-.venv}/bin/python
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}    # 1980, where zip begins
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" mmmambamixer.egg-info' EXIT

rm -rf mmmambamixer.egg-info
MMMAMBAMIXER_NO_EXT=1 "$PY" -c '
import sys
from setuptools import build_meta
build_meta.build_sdist(sys.argv[1])' "$scratch" > "$scratch/log" ||
    { cat "$scratch/log" >&2; exit 1; }
"$PY" -m pip --disable-pip-version-check wheel --no-index --no-deps \
    --no-build-isolation --no-cache-dir --wheel-dir "$scratch/wheel" "$scratch"/*.tar.gz
mkdir -p dist
name=$(basename "$scratch"/wheel/*.whl)
mv "$scratch/wheel/$name" dist/
(cd dist && sha256sum "$name")
