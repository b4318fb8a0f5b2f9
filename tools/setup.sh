#!/usr/bin/env bash
# One step of the set-up of the virtual environment: venv, torch, tested, mmcv, package,
# docs, lint.
# `make setup` calls them in order; each may be repeated.
set -euo pipefail

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
PY=$VENV/bin/python
PIP=("$PY" -m pip --disable-pip-version-check)

say() { echo "[setup] $*"; }
fail() { echo "[setup] error: $*" >&2; exit 1; }

# Installs with uv where it is there, which is faster, unless pip has settings that uv
# would not read.
install() {
    local settings='index|find-links|constraint|cert|proxy'
    if ! command -v uv >/dev/null; then
        "${PIP[@]}" install "$@"
    elif "${PIP[@]}" config list | grep -qE "$settings"; then
        say 'pip installs, not uv, which does not read the settings that pip has here'
        "${PIP[@]}" install "$@"
    else
        uv pip install --python "$PY" "$@"
    fi
}

# Nothing but an environment is cleared.
make_venv() {
    command -v "$PYTHON" >/dev/null || fail "no Python at '$PYTHON': set PYTHON=..."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$PYTHON" --version) is too old, 3.11 is tested: set PYTHON=..."
    if [ -e "$VENV" ] && ! [ -e "$VENV/pyvenv.cfg" ]; then
        [ -d "$VENV" ] && [ -z "$(ls -A "$VENV")" ] ||
            fail "VENV must be new, empty or a virtual environment, but '$VENV' is something else, which would be deleted: name another, such as VENV=$VENV/venv"
    fi
    if ! [ -x "$PY" ] || ! "$PY" -m pip --version >/dev/null 2>&1; then
        say "1/5 virtual environment in $VENV (seconds)"
        "$PYTHON" -m venv --clear "$VENV" ||
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

# Tells at once, not after the download, where torch with its CUDA libraries and the rest
# of the tested set cannot fit.
need_space() {
    local need=6500 free used
    free=$(df -m --output=avail "$VENV" 2>/dev/null | tail -n 1) || return 0 # no GNU df
    used=$(du -sm "$VENV/" 2>/dev/null | cut -f 1) || true
    [[ $free =~ ^\ *[0-9]+$ ]] || return 0 # nobody knows, on some file systems
    [ $((free + used)) -ge $need ] ||
        fail "$VENV will take $need MB, of which $used are there, and $((free)) are free on its disk: free some, take another place with VENV=..., or a CPU-only torch with TORCH_INDEX_URL=..."
}

install_torch() {
    case ${MMMAMBAMIXER_TORCH:-} in
    installed)
        say "2/5 torch: using the one that $PYTHON has"
        link_installed_torch ;;
    '')
        [ -n "${TORCH_INDEX_URL:-${PIP_INDEX_URL:-}}" ] || need_space
        say "2/5 torch and torchvision (1 to 10 minutes; the CUDA build is about 3 GB)"
        install -r requirements/torch.txt -c constraints.txt \
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
        fail 'torch is older than 2.10, which the tested set and the CPU kernels need'
}

install_tested() {
    say '3/5 MMEngine, mmpretrain, mmdet, mmseg and the rest of the tested set (1 to 3 minutes)'
    # opencv-python has the files of the headless build and needs libGL on top.
    if "$PY" -m pip show -q opencv-python 2>/dev/null; then
        "${PIP[@]}" uninstall -q -y opencv-python opencv-python-headless
    fi
    install --no-deps -r requirements/tested.txt
}

need_compiler() {
    command -v g++ >/dev/null || fail "$1 has to be compiled and there is no g++; on Debian: apt install g++"
    "$PY" -c '
import os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.exists(header))' ||
        fail "$1 has to be compiled and Python.h is missing; on Debian: apt install python3-dev"
}

has_nvcc() {
    command -v nvcc >/dev/null || [ -n "${CUDA_HOME:-}" ]
}

sees_gpu() {
    "$PY" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'
}

mmcv_works() {
    "$PY" -c 'import mmcv, mmcv.ops; assert mmcv.__version__ == "2.1.0"' 2>/dev/null
}

# Sources of mmcv that define the same helpers as others, and so are compiled alone.
ALONE='psamask.cpp roi_align.cpp roi_align_rotated.cpp rotated_feature_align.cpp'

# Lets one file of a folder include the others: nearly all of their compilation is
# torch's headers, which are read once then.
group_sources() {
    local folder=$1 file name
    mkdir "$folder/parts"
    for file in "$folder"/*.cpp; do
        name=${file##*/}
        [[ " $ALONE " == *" $name "* ]] && continue
        mv "$file" "$folder/parts/"
        echo "#include \"parts/$name\"" >> "$folder/grouped.cpp"
    done
}

install_mmcv() {
    if mmcv_works; then
        say '4/5 mmcv 2.1.0 with ops is there'
        return
    fi
    need_compiler mmcv
    local folder CFLAGS="-g0 ${CFLAGS:-}"
    folder=$(cd "$VENV" && pwd)/mmcv
    rm -rf "$folder"
    "${PIP[@]}" download -q --no-build-isolation --no-deps --no-binary mmcv -d "$folder" mmcv==2.1.0
    tar -xzf "$folder"/mmcv-2.1.0.tar.gz -C "$folder" --strip-components 1
    if has_nvcc && { [ "${FORCE_CUDA:-}" = 1 ] || sees_gpu; }; then
        say '4/5 compiling mmcv 2.1.0 with ops for CPU and GPU (10 minutes and more)'
    else
        say '4/5 compiling mmcv 2.1.0 with ops for the CPU (1 to 2 minutes on 2 cores)'
        export CUDA_VISIBLE_DEVICES= # without nvcc mmcv must not see a GPU
    fi
    group_sources "$folder/mmcv/ops/csrc/pytorch"
    group_sources "$folder/mmcv/ops/csrc/pytorch/cpu"
    MMCV_WITH_OPS=1 CFLAGS=$CFLAGS install --no-build-isolation --no-deps \
        --no-cache-dir --force-reinstall "$folder"
    rm -rf "$folder"
    mmcv_works || fail "mmcv was built but does not load: $PY -c 'import mmcv.ops'"
}

install_package() {
    if [ "${MMMAMBAMIXER_NO_EXT:-}" = 1 ]; then
        say '5/5 installing mmmambamixer without its kernels, as MMMAMBAMIXER_NO_EXT=1 says'
    else
        need_compiler mmmambamixer
        say '5/5 compiling mmmambamixer and its kernels (under a minute)'
    fi
    install --no-build-isolation --no-deps -e .
    "$PY" -m mmmambamixer.env
}

install_docs() {
    say 'packages of the documentation site (seconds)'
    install -q --no-deps -r requirements/docs.txt
}

install_lint() {
    say 'what `make lint` runs (seconds)'
    install -q --no-deps -r requirements/lint.txt
}

case ${1:-} in
venv) make_venv ;;
torch) install_torch ;;
tested) install_tested ;;
mmcv) install_mmcv ;;
package) install_package ;;
docs) install_docs ;;
lint) install_lint ;;
*) fail "usage: tools/setup.sh venv|torch|tested|mmcv|package|docs|lint, got '${1:-}'" ;;
esac
