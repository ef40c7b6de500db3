#!/bin/sh
# Installs the Debian packages that no wheel stands in for, where root may and apt is there:
#     tools/debian-packages.sh rabbitmq-server chromium
# Prints one line for each that can't be had, and exits 0 all the same: what needs it says so again.
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
    echo "Not installed:$missing. There is no apt-get here; use the system's own package manager."
    exit 0
fi

# A package's script would start a RabbitMQ of the whole system: 101 tells it not to.
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
