#!/usr/bin/env bash
# Create .venv for the demo and the tests: an interpreter of a supported version, ffmpeg, a
# compiler, and the package (editable) with all its extras. Does nothing if all of that is in place.
# The package does not run ffmpeg: museval cannot be imported without it, and tests compare with it.
#   PYTHON=python3.12 tools/setup.sh   chooses the interpreter
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
venv_python=.venv/bin/python
stamp=.venv/.setup

fail() {
    echo "error: $*" >&2
    exit 1
}

# Print what the stamp holds when .venv is ready. It includes the folder, because an editable
# installation in a copied .venv would still run the original's code.
fingerprint() {
    { pwd; cat setup.cfg pyproject.toml tools/setup.sh; } | cksum
}

wanted_other_python() {
    local identify='import sys; print(sys.version, sys.base_prefix)'
    [[ -n ${PYTHON:-} && "$("$python" -c "$identify" 2>&1)" != "$("$venv_python" -c "$identify" 2>&1)" ]]
}

ready() {
    [[ -f $stamp && "$(<"$stamp")" == "$(fingerprint)" ]] &&
        "$venv_python" -c '' 2>/dev/null && command -v ffmpeg >/dev/null && ! wanted_other_python
}

# Print the Debian packages that are missing, one a line; each is found by trying it.
missing_packages() {
    local version compiler cxx_compiler
    command -v ffmpeg >/dev/null || echo ffmpeg
    if ! command -v "$python" >/dev/null; then
        printf '%s\n' python3 python3-venv python3-dev gcc g++ libc6-dev
        return
    fi
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
    # pesq, a dependency of asteroid, has no wheels: it is built with the compiler that Python names.
    "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' \
        2>/dev/null || echo "$version-dev"
    compiler=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC"))')}
    # Unquoted, because the value may contain options.
    echo '#include <stdio.h>' | $compiler -fsyntax-only -x c - 2>/dev/null ||
        printf '%s\n' gcc libc6-dev
    # pyworld and pysinsy, which openstems needs, are built in C++.
    cxx_compiler=${CXX:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CXX"))')}
    echo '#include <vector>' | $cxx_compiler -fsyntax-only -x c++ - 2>/dev/null || echo g++
}

# A new machine often still runs its own updates, so wait for the lock.
apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

install_system_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [[ ${#packages[@]} -gt 0 ]] || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "missing system packages; run: sudo apt-get update && sudo apt-get install ${packages[*]}"
    fi
    echo "Installing ${packages[*]}"
    # A broken third-party source is no reason to stop: the installation decides.
    apt_get update || true
    apt_get install --yes --no-install-recommends "${packages[@]}" >/dev/null ||
        fail "apt-get install ${packages[*]} did not work; the lines above say why"
    mapfile -t packages < <(missing_packages)
    [[ ${#packages[@]} -eq 0 ]] || fail "$python still lacks what these packages hold: ${packages[*]}"
}

# The tests of the report use a browser and are skipped if there is none.
install_browser() {
    command -v chromium >/dev/null && return
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 0
    echo "Installing chromium"
    apt_get update || true
    apt_get install --yes --no-install-recommends chromium >/dev/null ||
        echo "note: no chromium, the report is not tested in a browser" >&2
}

check_python_version() {
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    case $version in
        3.1[0-3]) ;;
        3.1[4-9]) echo "note: Python $version is newer than the tested 3.10 to 3.13" >&2 ;;
        *) fail "$python is Python $version, 3.10 to 3.13 is needed: name one, as in PYTHON=python3.12 make test" ;;
    esac
}

install_python_packages() {
    # An interrupted set-up may have left a package half unpacked: start again.
    if [[ -f $stamp && "$(<"$stamp")" == unfinished ]] || wanted_other_python ||
        ! "$venv_python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear .venv
    fi
    echo "Installing the package and its dependencies in .venv (the first time this takes minutes)"
    trap 'exit 130' INT TERM
    echo unfinished >"$stamp"
    # Older releases of pip download whole wheels of versions that they then reject.
    if ! { "$venv_python" -m pip install -qq 'pip>=24' &&
        "$venv_python" -m pip install -qq --editable '.[dev]'; }; then
        rm -f "$stamp" # pip undoes what it cannot finish
        fail "pip could not install the dependencies in .venv; the lines above say why"
    fi
    fingerprint >"$stamp"
}

ready && exit
if command -v "$python" >/dev/null; then
    check_python_version
elif [[ -n ${PYTHON:-} ]]; then
    fail "PYTHON=$PYTHON: no such command"
fi
install_system_packages
install_browser
check_python_version
install_python_packages
