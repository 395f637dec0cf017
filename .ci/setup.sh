#!/bin/sh
# Makes .venv from a lock file, and installs the system packages that are missing where apt is there and may.
# Does nothing, quickly, when that has been done already.
#
#   sh .ci/setup.sh run     what the machine needs to run
#   sh .ci/setup.sh dev     and what its tests need
#
# PYTHON names the interpreter to use; python3 by default.
set -eu

profile=${1:-run}
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."

case $profile in
run) lock=requirements.lock ;;
dev) lock=requirements-dev.lock ;;
*)
    echo "setup: run or dev, not $profile" >&2
    exit 2
    ;;
esac

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Two makes at once (make -j) take turns.
if [ -z "${KIOSK_SETUP_LOCKED:-}" ] && command -v flock >/dev/null; then
    KIOSK_SETUP_LOCKED=1 exec flock .ci/setup.sh sh .ci/setup.sh "$profile"
fi

command -v "$python" >/dev/null || fail "there is no $python; install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Python 3.11 or newer is needed; name one with: make PYTHON=python3.11"

# --- system packages ---------------------------------------------------------------------------------------------

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root='sudo -n'
fi

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

# apt_install PACKAGE...: installs the first of them that the system offers.
apt_install() {
    may_install || return 1
    echo "setup: installing $1 through apt-get" >&2
    for update in no yes; do
        if [ $update = yes ]; then
            $as_root apt-get update -qq </dev/null >/dev/null || return 1
        fi
        for package in "$@"; do
            if $as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends "$package" </dev/null >/dev/null 2>&1; then
                return 0
            fi
        done
    done
    return 1
}

has_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

has_font() {
    [ -e /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ]
}

has_browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

has_x_server() {
    command -v Xvfb >/dev/null
}

has_hand() {
    command -v xdotool >/dev/null
}

has_node() {
    command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null
}

# has TOOL: whether it is there; also in /usr/sbin, which is not in everybody's PATH.
has() {
    (PATH=$PATH:/usr/sbin && command -v "$1" >/dev/null)
}

# A proxy that comes for the tests: they start their own, the system's shall not listen on this computer.
apt_install_proxy() {
    apt_install "$@" || return 1
    [ ! -d /run/systemd/system ] || $as_root systemctl disable --quiet --now "${1%-light}" || true
}

has_venv || apt_install python3-venv || true
has_venv || fail "$python cannot make virtual environments; run: sudo apt-get install python3-venv"

if ! has_font && ! apt_install fonts-wqy-microhei; then
    message='the Chinese font of the screen is missing; run: sudo apt-get install fonts-wqy-microhei'
    if [ "$profile" = dev ]; then
        fail "$message"
    fi
    echo "setup: $message" >&2 # the machine runs without it, and says so
fi

if [ "$profile" = dev ]; then
    has_browser || apt_install chromium chromium-browser || true
    has_browser || fail 'the tests of the pages need a browser; run: sudo apt-get install chromium'
    has_x_server || apt_install xvfb || true
    has_x_server || fail 'the tests of the window need an X server; run: sudo apt-get install xvfb'
    has_hand || apt_install xdotool || true
    has_hand || fail 'the tests of the window need a hand that taps; run: sudo apt-get install xdotool'
    command -v node >/dev/null || apt_install nodejs || true
    command -v npm >/dev/null || apt_install npm || true
    has nginx || apt_install_proxy nginx-light nginx || true
    has caddy || apt_install_proxy caddy || true
    has systemd-analyze || apt_install systemd || true
    has curl || apt_install curl || true
    for tool in nginx caddy systemd-analyze curl; do
        has $tool || fail "the tests of the installation need $tool; run: sudo apt-get install nginx-light caddy systemd curl"
    done
    has_node || fail 'the tests of the mini-program need Node.js 18 or newer and npm; run: sudo apt-get install nodejs npm'
fi

# --- the virtual environment -------------------------------------------------------------------------------------

pip() {
    .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input "$@" </dev/null
}

# Another interpreter, another place or another lock make the environment anew; one for dev can run too.
wanted=$({
    "$python" -c 'import sys; print(sys.version, sys.base_prefix)'
    pwd
    cat requirements.lock requirements-dev.lock
} | cksum)
if [ "$wanted" != "$(cat .venv/.made-for-dev 2>/dev/null)" ] &&
    { [ "$profile" = dev ] || [ "$wanted" != "$(cat .venv/.made-for-run 2>/dev/null)" ]; }; then
    echo "setup: making .venv from $lock (a minute, once)" >&2
    "$python" -m venv --clear .venv
    pip install --require-hashes --requirement "$lock"
    echo "$wanted" >".venv/.made-for-$profile"
fi

wanted=$(cksum <pyproject.toml)
if [ "$wanted" != "$(cat .venv/.made-project 2>/dev/null)" ]; then
    pip install --no-deps --no-build-isolation --editable .
    echo "$wanted" >.venv/.made-project
fi

# --- what tests the mini-program ---------------------------------------------------------------------------------

if [ "$profile" = dev ]; then
    wanted=$({
        node --version
        cat miniprogram/package-lock.json
    } | cksum)
    if [ "$wanted" != "$(cat miniprogram/node_modules/.made 2>/dev/null)" ]; then
        echo "setup: installing the mini-program's tests from package-lock.json (a minute, once)" >&2
        (cd miniprogram && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >/dev/null)
        echo "$wanted" >miniprogram/node_modules/.made
    fi
fi
