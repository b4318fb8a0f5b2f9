#!/usr/bin/env bash
# One step of the set-up of the virtual environment: venv, torch, tested, mmcv, package.
# `make setup` calls them in order; each may be repeated.
set -euo pipefail

VENV=${VENV:-.venv}
PY=$VENV/bin/python
PIP=("$PY" -m pip --disable-pip-version-check)

say() { echo "[setup] $*"; }
fail() { echo "[setup] error: $*" >&2; exit 1; }

make_venv() {
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "no Python at '$python': set PYTHON=..."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version) is too old, 3.11 is tested: set PYTHON=..."
    if ! [ -x "$PY" ] || ! "$PY" -m pip --version >/dev/null 2>&1; then
        say "1/5 virtual environment in $VENV (seconds)"
        "$python" -m venv --clear "$VENV" ||
            fail "could not make $VENV; on Debian: apt install python3-venv python3-dev"
    fi
    mkdir -p "$VENV/stamps"
}

# Makes the torch of PYTHON visible, and whatever lies beside it.
link_installed_torch() {
    local packages
    packages=$("$PYTHON" -c '
import os, torch, torchvision
print(os.path.dirname(os.path.dirname(torch.__file__)))') ||
        fail "MMMAMBAMIXER_TORCH=installed, but $PYTHON lacks torch or torchvision"
    echo "$packages" > "$("$PY" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/installed_torch.pth"
}

install_torch() {
    case ${MMMAMBAMIXER_TORCH:-} in
    installed)
        say "2/5 torch: using the one that $PYTHON has"
        link_installed_torch ;;
    '')
        say "2/5 torch and torchvision (1 to 10 minutes; the CUDA build is about 3 GB)"
        "${PIP[@]}" install -r requirements/torch.txt -c constraints.txt \
            ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} ;;
    *)
        fail "MMMAMBAMIXER_TORCH may be 'installed' or unset, got '$MMMAMBAMIXER_TORCH'" ;;
    esac
    "$PY" -c '
import torch, torchvision
torch.ops.torchvision.nms
print("[setup] torch", torch.__version__, "torchvision", torchvision.__version__)' ||
        fail 'torch and torchvision do not work together'
    "$PY" -c '
import sys, torch
sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10))' ||
        fail 'torch is older than 2.10, where a crafted checkpoint can run code'
}

install_tested() {
    say '3/5 MMEngine, mmpretrain, mmdet, mmseg and the rest of the tested set (1 to 3 minutes)'
    # opencv-python has the files of the headless build and needs libGL on top.
    if "$PY" -m pip show -q opencv-python 2>/dev/null; then
        "${PIP[@]}" uninstall -q -y opencv-python opencv-python-headless
    fi
    "${PIP[@]}" install --no-deps -r requirements/tested.txt
}

need_compiler() {
    command -v g++ >/dev/null || fail "$1 has to be compiled and there is no g++; on Debian: apt install g++"
    "$PY" -c '
import os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.exists(header))' ||
        fail "$1 has to be compiled and Python.h is missing; on Debian: apt install python3-dev"
}

mmcv_works() {
    "$PY" -c 'import mmcv, mmcv.ops; assert mmcv.__version__ == "2.1.0"' 2>/dev/null
}

install_mmcv() {
    if mmcv_works; then
        say '4/5 mmcv 2.1.0 with ops is there'
        return
    fi
    need_compiler mmcv
    say "4/5 compiling mmcv 2.1.0 with ops (about 8 minutes on 2 cores, once)"
    # Its GPU ops need nvcc; without it mmcv is built for the CPU, even beside a GPU.
    command -v nvcc >/dev/null || [ -n "${CUDA_HOME:-}" ] || export CUDA_VISIBLE_DEVICES=
    # No cache: a wheel there may be without ops, or of another torch.
    MMCV_WITH_OPS=1 "${PIP[@]}" install --no-build-isolation --no-deps --no-cache-dir \
        --no-binary mmcv --force-reinstall mmcv==2.1.0
    mmcv_works || fail "mmcv was built but does not load: $PY -c 'import mmcv.ops'"
}

install_package() {
    if [ "${MMMAMBAMIXER_NO_EXT:-}" = 1 ]; then
        say '5/5 installing mmmambamixer without its kernels, as MMMAMBAMIXER_NO_EXT=1 says'
    else
        need_compiler mmmambamixer
        say '5/5 compiling mmmambamixer and its kernels (about 2 minutes)'
    fi
    "${PIP[@]}" install --no-build-isolation --no-deps -e .
    "$PY" -m mmmambamixer.env
}

case ${1:-} in
venv) make_venv ;;
torch) install_torch ;;
tested) install_tested ;;
mmcv) install_mmcv ;;
package) install_package ;;
*) fail "usage: tools/setup.sh venv|torch|tested|mmcv|package, got '${1:-}'" ;;
esac
