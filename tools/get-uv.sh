#!/bin/sh
# Installs uv into .tools/bin in the project's folder, from PyPI or else from astral.sh.
set -eu

python=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python was not found. Install Python 3.11 or newer, then run make again." >&2
    exit 1
fi
mkdir -p .tools
# Debian's Python may lack pip and venv, so this tries three ways.
if "$python" -m venv .tools/uv-venv >/dev/null 2>&1 &&
    .tools/uv-venv/bin/python -m pip install --quiet --disable-pip-version-check uv; then
    mkdir -p .tools/bin && ln -sf ../uv-venv/bin/uv .tools/bin/uv
elif "$python" -m pip install --quiet --disable-pip-version-check --target .tools/uv-target uv \
    2>/dev/null; then
    mkdir -p .tools/bin && ln -sf ../uv-target/bin/uv .tools/bin/uv
elif command -v curl >/dev/null 2>&1 &&
    curl -LsSf https://astral.sh/uv/install.sh | env UV_INSTALL_DIR=.tools/bin UV_NO_MODIFY_PATH=1 sh >/dev/null 2>&1; then
    :
else
    echo "uv could not be installed, neither with pip nor from astral.sh. Install it (docs.astral.sh/uv) and run make again." >&2
    exit 1
fi
.tools/bin/uv --version >/dev/null || {
    echo "The uv in .tools/bin does not run. Remove .tools and run make again." >&2
    exit 1
}
