# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2239
# Runs pieces of shell code in one shell and tells how they ended; see driver.h. An interactive bash reads this, and the
# socket is its standard input: so an interrupt comes back to here from wherever the code was. What runs at each prompt
# tells the end of a run and gets the next frame; the worker sends the line behind the code of each run that evaluates it.
set +o history +H
unset HISTFILE
__sandboxd_runs=0
__sandboxd_status=0
__sandboxd_code=
__sandboxd_send() { builtin printf '%s %d\n%s' "$1" "${#2}" "$2" >&0; }
__sandboxd_running=
__sandboxd_begin() {
    __sandboxd_send begin "$__sandboxd_runs"
    # what $? was; where that would end the shell it was 0
    [[ $- = *e* ]] || return "$__sandboxd_status"
}
__sandboxd_next() {
    __sandboxd_status=$?
    if [[ $__sandboxd_running ]]; then
        __sandboxd_send "done" "$__sandboxd_runs exit $__sandboxd_status"
        __sandboxd_running=
    fi
    while :; do
        local word length text
        IFS=' ' builtin read -r word length || builtin exit 0
        LC_ALL=C IFS='' builtin read -r -d '' -N "$length" text || [[ $length = 0 ]] || builtin exit 0
        case $word in
            run)
                __sandboxd_code=$text __sandboxd_running=1
                ((__sandboxd_runs += 1))
                return
                ;;
            hello | prepare) __sandboxd_send ready "$__sandboxd_runs" ;;
        esac
    done
}
# the first frame is still read as a command
hello() {
    PS1='' PS2=''
    readonly PROMPT_COMMAND=__sandboxd_next
    unset -f hello prepare
    exec 2>&9 9>&-
    __sandboxd_send ready 0
}
prepare() { hello; }
