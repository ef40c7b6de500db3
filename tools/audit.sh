#!/bin/sh
# Known vulnerabilities in what uv.lock names, asked of osv.dev by uv. One that is found fails; a
# service that can't be reached is said in one line and fails nothing: a build needs no network.
# An advisory that does not concern Millrace goes into AUDIT_IGNORE, with the reason beside it.
set -u
uv=$1
AUDIT_IGNORE=""

set -- audit --frozen
for id in $AUDIT_IGNORE; do set -- "$@" --ignore "$id"; done

said=$(UV_HTTP_TIMEOUT="${AUDIT_TIMEOUT:-10}" UV_HTTP_RETRIES=0 "$uv" "$@" 2>&1)
status=$?
if [ "$status" -eq 0 ]; then
	echo "No known vulnerability in what uv.lock names."
	exit 0
fi
if printf '%s' "$said" | grep -qiE 'lookup|dns|connect|timed out|timeout|tls|certificate|status code|sending request|network'; then
	if ! printf '%s' "$said" | grep -qE '(GHSA|CVE|PYSEC|OSV)-'; then
		echo "The advisory service (osv.dev) could not be reached: dependencies were not audited." >&2
		exit 0
	fi
fi
printf '%s\n' "$said" >&2
exit "$status"
