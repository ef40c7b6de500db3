#!/bin/sh
# Installs the Debian packages that no Python wheel replaces, if run as root on a system with apt:
#     tools/debian-packages.sh rabbitmq-server chromium
# If it can't, it says so and still exits 0: whatever needs a package reports it again.
set -u

missing=""
for package in "$@"; do
    case $package in
    rabbitmq-server) [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing="$missing $package" ;;
    *) command -v "$package" >/dev/null 2>&1 || missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "Not installed:$missing. Get it with: sudo apt-get install --no-install-recommends$missing"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed:$missing. This system has no apt-get; use its own package manager."
    exit 0
fi

# The package would start a system-wide RabbitMQ; exit code 101 of this script prevents that.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    trap 'rm -f $policy' EXIT INT TERM
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
echo "Installing$missing ..."
# shellcheck disable=SC2086 # several names
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
    echo "apt-get could not install$missing:"
    grep -E '^(E|W):' "$log" || tail -n 3 "$log"
fi
rm -f "$log"
