#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 300
# args: @build@/src/image/sandboxd-image
# Imports images that other programs could have written, and those that only an attacker would: image-import.sh PROGRAM
# Needs root and zstd. Ends with "N passed, N failed"; 77 when it cannot run.
set -u

[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
command -v zstd > /dev/null || { echo "needs zstd"; exit 77; }
exec python3 -B "$(dirname "$0")/image-import.py" "$@"
