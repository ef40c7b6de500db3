#!/bin/sh
# Checks the packages of uv.lock for known vulnerabilities: uv asks osv.dev. A vulnerability fails
# the check. If osv.dev can't be reached, one line says so and nothing fails: a build needs no network.
# Put an advisory that does not concern Millrace into AUDIT_IGNORE, with the reason beside it.
set -u
uv=$1
AUDIT_IGNORE=""

set -- audit --frozen
for id in $AUDIT_IGNORE; do set -- "$@" --ignore "$id"; done

output=$(UV_HTTP_TIMEOUT="${AUDIT_TIMEOUT:-10}" UV_HTTP_RETRIES=0 "$uv" "$@" 2>&1)
status=$?
if [ "$status" -eq 0 ]; then
	echo "No known vulnerability in the packages of uv.lock."
	exit 0
fi
if printf '%s' "$output" | grep -qiE 'lookup|dns|connect|timed out|timeout|tls|certificate|status code|sending request|network'; then
	if ! printf '%s' "$output" | grep -qE '(GHSA|CVE|PYSEC|OSV)-'; then
		echo "The advisory service (osv.dev) could not be reached: dependencies were not audited." >&2
		exit 0
	fi
fi
printf '%s\n' "$output" >&2
exit "$status"
