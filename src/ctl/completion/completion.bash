# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# bash completion of sandboxctl(1); made by its build out of the tables of the program.

@TABLES@

# Answers to "what is there" come from the server that sandboxctl finds by itself, soon or not at all.
_sandboxctl_ask() { timeout 3 sandboxctl --quiet "$@" 2>/dev/null </dev/null; }

_sandboxctl_offer_none() { :; }
_sandboxctl_offer_sessions() { mapfile -t COMPREPLY < <(compgen -W "$(_sandboxctl_ask list)" -- "$1"); }
_sandboxctl_offer_workers() { mapfile -t COMPREPLY < <(compgen -W "$(_sandboxctl_ask worker list)" -- "$1"); }
_sandboxctl_offer_images() { mapfile -t COMPREPLY < <(compgen -W "$(_sandboxctl_ask image list)" -- "$1"); }
_sandboxctl_offer_snapshots() { mapfile -t COMPREPLY < <(compgen -W "$(_sandboxctl_ask snapshot list)" -- "$1"); }
_sandboxctl_offer_signals() { mapfile -t COMPREPLY < <(compgen -A signal -- "${1:-SIG}"); }
_sandboxctl_offer_commands() {
    mapfile -t COMPREPLY < <(compgen -W "$(_sandboxctl_table_commands | sed 's/[ :].*//' | sort -u)" -- "$1")
}
_sandboxctl_offer_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}
# WORD CURRENT: what may follow the first word of a command.
_sandboxctl_offer_second() {
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$(_sandboxctl_table_commands | sed -n "s/^$1 \([^:]*\):.*/\1/p")" -- "$2")
}
_sandboxctl_offer_copies() {
    [[ $1 != *:* ]] || return 0
    compopt -o filenames -o nospace 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1"; compgen -S : -W "$(_sandboxctl_ask list)" -- "$1")
}

# OPTION COMMAND: what its value can be; fails when it takes none.
_sandboxctl_value_of() {
    local name letter offer
    while IFS=: read -r name letter offer _; do
        [[ $1 != "$name" && $1 != "$letter" ]] || { echo "$offer"; [[ $offer ]]; return; }
    done < <(_sandboxctl_table_options "$2"; _sandboxctl_table_options '')
    return 1
}

_sandboxctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} command='' group='' offer place=0 i word offers
    COMPREPLY=()

    # "=" is a word of its own here
    if [[ $cur == = ]]; then cur=''; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --) return 0 ;;
            -?*)
                offer=$(_sandboxctl_value_of "$word" "$command") || continue
                [[ ${COMP_WORDS[i + 1]} != = ]] || ((i++))
                if ((++i >= COMP_CWORD)); then
                    "_sandboxctl_offer_$offer" "$cur"
                    return 0
                fi ;;
            *)
                if [[ $command ]] && ((place == 0)) && [[ $(_sandboxctl_table_commands) == *$'\n'"$command $word:"* ]]; then
                    command+=" $word"
                elif [[ $command ]]; then
                    ((place++))
                elif [[ $'\n'$(_sandboxctl_table_commands) == *$'\n'"$group$word:"* ]]; then
                    command=$group$word
                else
                    group="$word "
                fi ;;
        esac
    done

    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$({ _sandboxctl_table_options "$command"; _sandboxctl_table_options ''; } |
            cut -d: -f1 | sort -u)" -- "$cur")
    elif [[ $command ]]; then
        mapfile -t offers < <(_sandboxctl_table_arguments "$command")
        offer=${offers[place]-}
        if ((place >= ${#offers[@]} && ${#offers[@]} > 0)); then
            [[ ${offers[-1]} != *... ]] || offer=${offers[-1]}
        fi
        [[ ! $offer ]] || "_sandboxctl_offer_${offer%...}" "$cur"
        ((place > 0)) || _sandboxctl_offer_second "$command" "$cur"
    elif [[ $group ]]; then
        _sandboxctl_offer_second "${group% }" "$cur"
    else
        _sandboxctl_offer_commands "$cur"
    fi
}
complete -F _sandboxctl sandboxctl
