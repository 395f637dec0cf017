#!/bin/sh
# Builds the Debian package kiosk_VERSION_ARCHITECTURE.deb from the lock, with a virtual environment under /opt/kiosk.
#
#   sh packaging/deb.sh [FOLDER]     FOLDER: where it is put; dist by default
#
# It is for the release of Debian (or Raspberry Pi OS, or Ubuntu) and the processor that it is built on. What pip's own
# settings say holds: with PIP_NO_INDEX=1 and PIP_FIND_LINKS=wheels it is built without a network.
set -eu

cd "$(dirname "$0")/.."
out=${1:-dist}
python=/usr/bin/python3 # the package runs on the system's interpreter, whatever else is in PATH

fail() {
    echo "deb: $*" >&2
    exit 1
}

[ -x $python ] || fail "there is no $python; run: sudo apt-get install python3"
command -v dpkg-deb >/dev/null || fail "there is no dpkg-deb: a Debian package is built on Debian, Ubuntu or Raspberry Pi OS"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
home=$root/opt/kiosk
umask 022

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
architecture=$(dpkg --print-architecture)
minor=$($python -c 'import sys; print(sys.version_info.minor)')

# --- the program -------------------------------------------------------------------------------------------------

pip() {
    .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input --python "$home/bin/python3" "$@" </dev/null
}

mkdir -p "$root/opt"
$python -m venv --without-pip "$home"
pip install --no-compile --require-hashes --requirement requirements.lock
# From a copy: setuptools leaves traces in the folder that it builds from.
mkdir "$work/source"
cp -r kiosk hardware display pyproject.toml README.md LICENSE "$work/source"
pip install --no-compile --no-deps --no-build-isolation --no-index "$work/source"
pip uninstall --yes setuptools # it has built; nothing that runs needs it

# What knows of the folder that this was built in.
rm -rf "$home"/lib/python3.*/site-packages/kiosk-*.dist-info/direct_url.json "$home/include"
find "$home/bin" -type f ! -name kiosk -delete
sed -i '1s|^#!.*|#!/opt/kiosk/bin/python3|' "$home/bin/kiosk"
sed -i '/^command = /d' "$home/pyvenv.cfg"
# The folder is root's and the unit mounts it read-only: bytecode is brought along, and never looked for anew.
"$home/bin/python3" -m compileall -q -j 0 -s "$root" -p / --invalidation-mode unchecked-hash "$home/lib"

# --- what stands around it ---------------------------------------------------------------------------------------

mkdir -p "$root/usr/bin" "$root/usr/lib/systemd/system" "$root/usr/lib/udev/rules.d" "$root/usr/lib/sysusers.d" \
    "$root/usr/lib/tmpfiles.d" "$root/usr/share/kiosk" "$root/usr/share/doc/kiosk/examples"
ln -s /opt/kiosk/bin/kiosk "$root/usr/bin/kiosk"
cp systemd/*.service systemd/*.timer "$root/usr/lib/systemd/system"
for rules in systemd/*.rules; do
    [ ! -e "$rules" ] || cp "$rules" "$root/usr/lib/udev/rules.d"
done
cp systemd/kiosk.sysusers "$root/usr/lib/sysusers.d/kiosk.conf"
cp systemd/kiosk.tmpfiles "$root/usr/lib/tmpfiles.d/kiosk.conf"
cp packaging/kiosk.ini "$root/usr/share/kiosk" # not below doc: a small system leaves that folder out
cp docs/*.md "$root/usr/share/doc/kiosk"
cp LICENSE "$root/usr/share/doc/kiosk/copyright"
cp kiosk.ini docs/nginx.conf docs/Caddyfile docs/kiosk-window.conf docs/alerts.yml docs/grafana.json "$root/usr/share/doc/kiosk/examples"

# --- the package -------------------------------------------------------------------------------------------------

mkdir "$root/DEBIAN"
cp packaging/postinst packaging/prerm packaging/postrm "$root/DEBIAN"
chmod 755 "$root"/DEBIAN/*
cat >"$root/DEBIAN/control" <<CONTROL
Package: kiosk
Version: $version
Architecture: $architecture
Maintainer: the makers of kiosk <kiosk@localhost>
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), libstdc++6, fonts-wqy-microhei, systemd
Section: misc
Priority: optional
Description: controller of a QR-code vending machine
 Shows a code for each product on the machine's screen, takes the money through
 WeChat Pay, drops the goods through a serial line, and shows technicians on the
 local network what is going on.
CONTROL
mkdir -p "$out"
file=$out/kiosk_${version}_$architecture.deb
# zstd: a Raspberry Pi packs and unpacks it several times faster than xz, for a tenth more bytes.
dpkg-deb --root-owner-group -Zzstd -z9 --build "$root" "$work/made.deb" >/dev/null
mv "$work/made.deb" "$file" # whole or not at all
echo "$file"
