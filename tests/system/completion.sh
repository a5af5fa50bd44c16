#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: host
# timeout: 120
# args: @build@
# What bash and zsh offer for a command line of sandboxctl: all that its help knows, and what the server has.
set -uo pipefail
export LC_ALL=C.UTF-8

build=$1
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
passed=0 failed=0

check() { # WHAT WANTED GOT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n    expected: %s\n    got:      %s\n' "$1" "$2" "$3"
    fi
}

# the program beside the completion, and a server that has two sessions and a worker
PATH=$build/src/ctl:$PATH
# shellcheck disable=SC1091
. "$build/src/ctl/completion/sandboxctl"
_sandboxctl_ask() {
    case $* in
        list) printf '%s\n' aaa-1 bbb-2 ;;
        'worker list') echo worker1 ;;
        'snapshot list') echo snapshot:1 ;;
        'image list') printf '%s\n' base tools:latest ;;
    esac
}

offered() { # WORD...: for the last one
    COMP_WORDS=(sandboxctl "$@") COMP_CWORD=$#
    COMPREPLY=()
    _sandboxctl
    printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
}

# what help has, in the same order
help_commands() { sandboxctl help | sed -n '/^Commands:/,/^$/s/^  \([a-z].*\)/\1/p'; }
help_options() { sandboxctl help "$@" | sed -n 's/^  .\{4\}--\([a-z-]*\).*/--\1/p'; }
global=$(help_options)

check "commands" "$(sandboxctl help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\).*/\1/p' | sort -u | xargs)" "$(offered '')"
while read -r first second _; do
    [[ $second =~ ^[a-z]+$ ]] && sandboxctl help "$first" "$second" >/dev/null 2>&1 || second=
    # shellcheck disable=SC2086
    check "options of $first $second" "$({ echo "$global"; help_options $first $second; } | sort -u | xargs)" \
        "$(offered $first $second --)"
done < <(help_commands)
check "second words" "add drain list pool remove undrain" "$(offered worker '')"
check "the start of a word" "worker" "$(offered wor)"
check "sessions" "aaa-1 bbb-2" "$(offered show '')"
check "no more of them than it takes" "" "$(offered show aaa-1 '')"
check "any number of them" "bbb-2" "$(offered kill aaa-1 b)"
check "not in the command of a sandbox" "" "$(offered exec aaa-1 ls '')"
check "after options, with and without values" "aaa-1" "$(offered --json --timeout 5 exec --env A=b -i --cwd /tmp a)"
check "a worker" "worker1" "$(offered worker drain '')"
check "a file" "$top/etc/sandboxd.conf" "$(offered --key-file "$top/etc/sandboxd.c")"
check "a file after =" "$top/etc/sandboxd.conf" "$(offered --key-file = "$top/etc/sandboxd.c")"
check "no value of an option is taken for a command" "" "$(offered --url wor)"
check "an image" "base" "$(offered create --image ba)"
check "an image to remove" "base tools:latest" "$(offered image rm '')"
check "an image to bring" "$top/etc/sandboxd.conf" "$(offered image import "$top/etc/sandboxd.c")"
check "a command that is the first word of others" "aaa-1 bbb-2 delete list" "$(offered snapshot '')"
check "the others" "snapshot:1" "$(offered snapshot delete '')"
check "a signal" "SIGTERM" "$(offered signal aaa-1 e1 SIGTER)"
check "a copy" "aaa-1:" "$(offered cp aaa)"
check "a command to explain" "create" "$(offered help cre)"

if command -v zsh >/dev/null; then
    # what the terminal shows after the tabulator: a word that is completed, or all that are possible
    typed() { # TEXT
        python3 - "$build/src/ctl/completion" "$1" <<'END'
import os, pty, re, select, sys, time

folder, text = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", ZDOTDIR="/nonexistent")
    os.execvp("zsh", ["zsh", "-f", "-i"])


def until(mark, seconds=30):
    seen, end = "", time.monotonic() + seconds
    while mark not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            seen += os.read(fd, 4096).decode(errors="replace")
    return seen


os.write(fd, (f"PS1=; unsetopt zle_bracketed_paste; fpath=({folder} $fpath); autoload -U compinit; compinit -D -u\n"
              "show() { print -r -- \"<$BUFFER>\"; zle .kill-whole-line; zle reset-prompt; }; zle -N show\n"
              "bindkey '^X' show; echo rea''dy\n").encode())
until("ready")
os.write(fd, (text + "\t\x18").encode())
print(re.findall(r"<(.*?)>", until(">"))[-1])
os.kill(pid, 9)
END
    }
    check "zsh: a command" "sandboxctl health " "$(typed 'sandboxctl hea')"
    check "zsh: a second word" "sandboxctl worker undrain " "$(typed 'sandboxctl worker und')"
    check "zsh: the second word of a command that is one itself" "sandboxctl snapshot delete " "$(typed 'sandboxctl snapshot del')"
    check "zsh: an option" "sandboxctl create --memory " "$(typed 'sandboxctl create --mem')"
    check "zsh: after an option with a value" "sandboxctl --timeout 5 version " "$(typed 'sandboxctl --timeout 5 ver')"
    check "zsh: a file" "sandboxctl --key-file $top/etc/sandboxd.conf " "$(typed "sandboxctl --key-file $top/etc/sandboxd.c")"
else
    echo "no zsh here: its completion is not tried"
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
