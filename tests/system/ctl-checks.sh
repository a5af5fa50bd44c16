# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For tests of sandboxctl, which source /lab/system/ctl-checks.sh: all of their checks are made, also after one that failed.
set -u
export LC_ALL=C.UTF-8
unset SANDBOXD_URL SANDBOXD_SOCKET SANDBOXD_KEY
passed=0 failed=0
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$top/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
        head -n 20 "$top/log" | sed 's/^/    /'
    fi
}

gives() { # STATUS STDOUT COMMAND...
    local status=$1 text=$2
    shift 2
    "$@" >"$top/out" 2>"$top/err" </dev/null
    local got=$?
    [ $got = "$status" ] && [ "$(<"$top/out")" = "$text" ] || {
        echo "status $got, expected $status; stdout and stderr:"
        cat "$top/out" "$top/err"
        return 1
    }
}

tells() { # STATUS PATTERN COMMAND...: on standard error
    local status=$1 pattern=$2
    shift 2
    "$@" >"$top/out" 2>"$top/err" </dev/null
    local got=$?
    [ $got = "$status" ] && grep -q -- "$pattern" "$top/err" || {
        echo "status $got, expected $status and $pattern:"
        cat "$top/err"
        return 1
    }
}

ids() { sandboxctl list -q | sort; }

# the last line of a test
checked() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}
