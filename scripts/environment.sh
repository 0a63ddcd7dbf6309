# The other scripts, which set `root`, source this file. It makes the project's own Python
# environment in .venv, once, and installs Debian packages.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Install Warren and what it needs into .venv. $1: nothing, or the extra `test`.
make_environment() {
    local venv=$root/.venv extra=${1:+[$1]} made=$root/.venv/made${1:+-$1} wanted
    # The path is part of it: an environment that was moved or copied still points to where it was
    # made.
    wanted=$(cd "$root" && { pwd && cat setup.py pyproject.toml constraints.txt; } | sha256sum)
    exec 9<"$root"
    flock 9 # two scripts at once make one environment
    if ! { python_works "$venv/bin/python" && grep -qsxF "$wanted" "$made"; }; then
        say "making the Python environment in .venv (once, about a minute) ..."
        # The programs of an environment contain its path: a moved environment is made again, an
        # outdated environment is only updated.
        if ! { grep -qsF "$venv/bin/python" "$venv/bin/pip" && python_works "$venv/bin/python" -m pip --version; }; then
            new_environment "$venv"
        fi
        fill "$venv" "$extra" || fail "$(cat "$venv/pip.log")" $'\n'"scripts: expected pip to install what" \
            "constraints.txt names, found the errors above; check the network, or remove .venv, and run it again"
        # An environment with an extra also serves as one without.
        printf '%s\n' "$wanted" | tee "$venv/made" >"$made"
    fi
    exec 9<&-
}

# Install the pinned packages with the extra $2 into $1. Keep pip's output for the case that pip
# fails.
fill() {
    local venv=$1 extra=$2
    rm -f "$venv"/made* # a half-filled environment must not look whole
    (
        cd "$root" && unset PIP_USER PIP_TARGET PIP_PREFIX
        pip() { "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-input -c constraints.txt "$@"; }
        pip setuptools && pip --no-build-isolation --editable ".$extra"
    ) >"$venv/pip.log" 2>&1
}

new_environment() {
    local python
    if ! python=$(find_python 'import venv, ensurepip'); then
        find_python '' >/dev/null || fail "python: expected Python 3.11 or newer, found none; apt-get install python3 python3-venv"
        install_packages python3-venv
        # The message of install_packages is the remedy.
        python=$(find_python 'import venv, ensurepip') || exit 1
    fi
    rm -rf "$1"
    "$python" -m venv "$1"
}

# Print the first Python, 3.11 or newer, that runs the statement $1 without an error.
find_python() {
    local name
    for name in python3.11 python3 python3.12 python3.13 python3.14; do
        if python_works "$name" -c "$1"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# Tell whether the Python $1 exists, is new enough, and runs with the arguments that follow.
python_works() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { [ $# = 1 ] || "$@" >/dev/null 2>&1; }
}

# As root, install Debian packages and start none of their services; otherwise say what to install.
install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "not installed: $*; as root: apt-get install --no-install-recommends $*"
        return
    fi
    say "installing $* ..."
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e "$policy" ]; then policy=; else printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; fi
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@"; } \
        </dev/null >/dev/null || status=$?
    [ -z "$policy" ] || rm -f "$policy"
    [ "$status" = 0 ] || say "apt-get could not install $*; the reason stands above"
}
